// Jest: TypeScript tests under test/, transpiled file by file. Types are checked by `npm run lint`.
'use strict';

module.exports = {
  rootDir: __dirname,
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  // A deadline on a machine that does something else as well; files may have a longer one.
  testTimeout: 60_000,
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: '<rootDir>/tsconfig.test.json' }] },
  // Those in guests are run by `npm run test:vm`.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/vm/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
};
