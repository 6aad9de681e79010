// Stand-in for the native usocket package, which does not build with a current node-gyp.
// dbus-next loads usocket inside a try block and uses the net module when loading throws.
// blkmirror passes no file descriptors over D-Bus, so nothing is lost.
'use strict';

throw new Error('usocket is not used by blkmirror');
