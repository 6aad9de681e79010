// Loaded into a daemon by --require: on SIGUSR2 its JavaScript side stands still for ten seconds.
'use strict';

process.on('SIGUSR2', () => {
  const end = Date.now() + 10_000;
  while (Date.now() < end);
  process.stdout.write('the main thread was blocked for ten seconds\n');
});
