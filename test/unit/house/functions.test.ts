// The house checks that no function is longer than 70 lines (STYLE.md, rule 2): TypeScript by the
// syntax tree, C++ by matching braces.

import ts from 'typescript';
import { cppFunctions } from './cppFunctions';
import { sourceFiles } from './tree';
import type { SourceFile } from './tree';

const MAX_FUNCTION_LINES = 70;

/** Every function of a TypeScript file that is too long; a describe() block is not a function. */
function longFunctions(file: SourceFile): string[] {
  const found: string[] = [];
  const source = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2022, true);
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body && !isDescribe(node.parent)) {
      const first = source.getLineAndCharacterOfPosition(node.getStart()).line;
      const last = source.getLineAndCharacterOfPosition(node.getEnd()).line;
      const count = last - first + 1;
      if (count > MAX_FUNCTION_LINES) {
        found.push(`${file.path}:${String(first + 1)}: ${String(count)} lines`);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function isDescribe(parent: ts.Node): boolean {
  return ts.isCallExpression(parent) && /^describe\b/.test(parent.expression.getText());
}

test('TypeScript functions have at most 70 lines', () => {
  expect(sourceFiles(/^(src|test|scripts)\/.*\.(ts|mjs)$/).flatMap(longFunctions)).toEqual([]);
});

test('C++ functions have at most 70 lines', () => {
  const long = sourceFiles(/^native\/.*\.(cc|h)$/).flatMap((file) =>
    cppFunctions(file.text)
      .filter((one) => one.lines > MAX_FUNCTION_LINES)
      .map((one) => `${file.path}:${String(one.line)}: ${String(one.lines)} lines`),
  );
  expect(long).toEqual([]);
});

test('the brace matcher finds C++ functions inside namespaces and types', () => {
  const text = [
    'namespace a {',
    'struct S {',
    '  int x{0};',
    '  void method() const {',
    "    const char c = '{';",
    '    if (x) { // }',
    '      x();',
    '    }',
    '  }',
    '};',
    'constexpr int table[] = {',
    '  1,',
    '};',
    'Result<int> free_function(int a,',
    '                          int b) {',
    '  return "}";',
    '}',
    '}  // namespace a',
  ].join('\n');
  const long = cppFunctions(text).filter((one) => one.lines > 1);
  expect(long).toEqual([
    { line: 4, lines: 6 },
    { line: 14, lines: 4 },
  ]);
});
