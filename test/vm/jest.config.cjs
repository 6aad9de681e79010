// Jest for the guest tests alone: one file at a time, long deadlines. Run by scripts/vm.mjs.
'use strict';

const base = require('../../jest.config.cjs');

module.exports = {
  ...base,
  roots: ['<rootDir>/test/vm'],
  testPathIgnorePatterns: ['/node_modules/'],
  maxWorkers: 1,
  reporters: [['default', { summaryThreshold: 1000 }]],
  testTimeout: 600_000,
};
