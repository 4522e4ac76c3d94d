/**
 * Marks the calls that the built modules make when they are loaded (schemas, tags, layers, metrics) as free of side
 * effects, as Effect's own packages do: a bundler may then leave out what an app does not use. Without it a public app
 * in a browser carries the signing code of a confidential one.
 *
 * Source maps still name the right lines; within a line that has an insertion, columns are off by its length.
 *
 * `bundle.mjs` calls it.
 */
import ts from "typescript"

const MARK = "/*#__PURE__*/ "

/** Calls in function bodies need no mark. */
const runsLater = (node) =>
  ts.isFunctionLike(node) ||
  (ts.isPropertyDeclaration(node) && !node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.StaticKeyword))

/** A literal with a spread, which esbuild keeps: reading a member may have an effect. */
const hasSpread = (node) =>
  (ts.isObjectLiteralExpression(node) && node.properties.some(ts.isSpreadAssignment)) ||
  (ts.isArrayLiteralExpression(node) && node.elements.some(ts.isSpreadElement))

/**
 * The insertions: a mark before each call that a declaration at the top of the module makes, those in arguments too,
 * and a function around each literal with a spread. The call of that function has a mark; minifiers remove it.
 */
const insertions = (source) => {
  const found = new Map()
  const visit = (node) => {
    if (runsLater(node)) return
    const start = node.getStart(source)
    if (hasSpread(node)) {
      found.set(start, `${MARK}(() => (`).set(node.end, "))()")
      return
    }
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) found.set(start, MARK)
    ts.forEachChild(node, visit)
  }
  for (const statement of source.statements) {
    if (ts.isVariableStatement(statement) || ts.isClassDeclaration(statement)) visit(statement)
  }
  return [...found].sort(([a], [b]) => b - a)
}

/** The module with its marks; a statement that stands alone is there for its effect and stays as it is. */
export const annotate = (text) =>
  insertions(ts.createSourceFile("module.js", text, ts.ScriptTarget.ES2022, true)).reduce(
    (marked, [at, inserted]) =>
      inserted === MARK && marked.slice(0, at).endsWith(MARK)
        ? marked
        : `${marked.slice(0, at)}${inserted}${marked.slice(at)}`,
    text
  )
