// The house checks who depends on whom in TypeScript (DESIGN.md, section 2), by the syntax tree.
// Dependencies point downwards through the table; a folder that is not in it is refused.

import { readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript';
import { root, sourceFiles } from './tree';
import type { SourceFile } from './tree';

/** For each folder of src (main.ts being 'main'), what it may import besides itself. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  main: ['dbus', 'systemd', 'handlers', 'service', 'resource', 'rules', 'plane', 'config', 'model'],
  dbus: ['service', 'resource', 'rules', 'plane', 'config', 'model'],
  systemd: ['service', 'resource', 'rules', 'plane', 'config', 'model'],
  service: ['resource', 'rules', 'plane', 'config', 'model'],
  resource: ['rules', 'plane', 'config', 'model'],
  rules: ['model'],
  plane: ['model'],
  config: ['model'],
  model: [],
  handlers: ['model'],
  offline: ['config', 'plane', 'model'],
  cli: ['offline', 'config', 'plane', 'model'],
};

/** Single files that a folder may import beyond the table: what both ends of the bus agree on. */
const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  cli: ['src/dbus/busAddress', 'src/dbus/paths'],
};

/** npm packages that only some folders may use; any other dependency may be used anywhere. */
const PACKAGE_HOMES: Readonly<Record<string, readonly string[]>> = {
  'dbus-next': ['dbus', 'cli'],
  'sd-notify': ['systemd'],
  ini: ['config'],
  xml2js: ['dbus'],
  commander: ['cli', 'main'],
};

interface Import {
  readonly file: string;
  readonly folder: string;
  readonly target: string;
}

const sources = sourceFiles(/^src\/.*\.ts$/);
const imports = sources.flatMap(importsOf);

/** Every static, dynamic and require() import of a file. */
function importsOf(file: SourceFile): Import[] {
  const found: Import[] = [];
  const folder = folderOf(file.path);
  const visit = (node: ts.Node): void => {
    const target = importTarget(node);
    if (target !== undefined) found.push({ file: file.path, folder, target });
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2022, true));
  return found;
}

function importTarget(node: ts.Node): string | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
    return literal(node.moduleSpecifier);
  }
  if (ts.isExternalModuleReference(node)) return literal(node.expression);
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
    return literal(node.argument.literal);
  }
  if (!ts.isCallExpression(node)) return undefined;
  const isImport = node.expression.kind === ts.SyntaxKind.ImportKeyword;
  const isRequire = ts.isIdentifier(node.expression) && node.expression.text === 'require';
  return isImport || isRequire ? literal(node.arguments[0]) : undefined;
}

function literal(node: ts.Node | undefined): string | undefined {
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : undefined;
}

function folderOf(path: string): string {
  const [, folder = ''] = path.split('/');
  return folder.endsWith('.ts') ? folder.slice(0, -'.ts'.length) : folder;
}

/** The path, without .ts, that a relative import leads to; undefined for a package. */
function targetPath({ file, target }: Import): string | undefined {
  return target.startsWith('.') ? relative(root, join(root, dirname(file), target)) : undefined;
}

function packageOf(target: string): string | undefined {
  if (target.startsWith('.') || isBuiltin(target)) return undefined;
  const parts = target.split('/');
  return parts.slice(0, target.startsWith('@') ? 2 : 1).join('/');
}

function describeImports(wrong: readonly Import[]): string[] {
  return wrong.map(({ file, target }) => `${file} imports ${target}`);
}

test('every folder of src has its place in the table', () => {
  const unknown = sources.filter((file) => BELOW[folderOf(file.path)] === undefined);
  expect(unknown.map((file) => file.path)).toEqual([]);
});

test('imports point downwards', () => {
  const wrong = imports.filter((one) => {
    const path = targetPath(one);
    if (path === undefined || EXCEPTIONS[one.folder]?.includes(path) === true) return false;
    const target = folderOf(`${path}.ts`);
    return target !== one.folder && BELOW[one.folder]?.includes(target) !== true;
  });
  expect(describeImports(wrong)).toEqual([]);
});

test('what both ends of the bus share depends on nothing above model', () => {
  const shared = Object.values(EXCEPTIONS).flat();
  const wrong = imports.filter((one) => {
    const path = targetPath(one);
    if (!shared.includes(one.file.replace(/\.ts$/, '')) || path === undefined) return false;
    return !path.startsWith('src/model/') && !shared.includes(path);
  });
  expect(describeImports(wrong)).toEqual([]);
});

test('rules are pure: they import neither packages nor Node modules', () => {
  const wrong = imports.filter((one) => one.folder === 'rules' && !one.target.startsWith('.'));
  expect(describeImports(wrong)).toEqual([]);
});

test('rules are pure: they read no clock, no randomness, no process', () => {
  const impure = /\b(Date\.now|new Date|Math\.random|performance\.|process\.|setTimeout|crypto\.)/;
  const wrong = sources.filter(
    (file) => folderOf(file.path) === 'rules' && file.lines.some((line) => impure.test(line)),
  );
  expect(wrong.map((file) => file.path)).toEqual([]);
});

test('only nativePlane.ts loads the addon', () => {
  const loading = /blkmirror\.node|process\.dlopen|native\/build/;
  const loaders = sources.filter((file) => loading.test(file.text)).map((file) => file.path);
  expect(loaders.filter((path) => path !== 'src/plane/nativePlane.ts')).toEqual([]);
});

test('npm packages are declared, and stay in their folders', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
    optionalDependencies: Record<string, string>;
  };
  const declared = { ...manifest.dependencies, ...manifest.optionalDependencies };
  const wrong = imports.filter((one) => {
    const name = packageOf(one.target);
    if (name === undefined) return false;
    return !(name in declared) || PACKAGE_HOMES[name]?.includes(one.folder) === false;
  });
  expect(describeImports(wrong)).toEqual([]);
});
