/**
 * Looks up what the page uses in MDN's browser-compat-data, and prints each feature that
 * one of its oldest browsers lacks, with the file. Takes the folder of the installed
 * packages, that of the page, and more scripts.
 */
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";

const OLDEST = { chrome: 84, safari: 15.4, safari_ios: 15.4 };

const [packages, page, ...more] = process.argv.slice(2);
const ts = createRequire(join(packages, "package.json"))("typescript");
const data = JSON.parse(readFileSync(join(packages, "@mdn/browser-compat-data/data.json"), "utf8"));
const lacking = new Set();
let found = 0;

/** Reports a feature that is in the data and not in every oldest browser. */
function check(file, name, feature) {
  const support = feature?.__compat?.support;
  if (!support) {
    return false;
  }
  found += 1;
  const isIn = ([browser, oldest]) =>
    [support[browser]].flat().some(({ version_added: added, version_removed, flags, prefix, alternative_name, partial_implementation }) => {
      const isWhole = !version_removed && !flags && !prefix && !alternative_name && !partial_implementation;
      return isWhole && added && added !== "preview" && parseFloat(String(added).replace("≤", "")) <= oldest;
    });
  if (!Object.entries(OLDEST).every(isIn)) {
    lacking.add(`${name} (${relative(page, file)})`);
  }
  return true;
}

// --- Scripts ------------------------------------------------------------------

/** Syntax by its kind, and syntax that a function recognizes. */
const { syntax, recognized } = (() => {
  const { operators, classes, regular_expressions: regular } = data.javascript;
  const { SyntaxKind: kinds } = ts;
  return {
    syntax: new Map([
      [kinds.QuestionQuestionEqualsToken, ["??=", operators.nullish_coalescing_assignment]],
      [kinds.BarBarEqualsToken, ["||=", operators.logical_or_assignment]],
      [kinds.AmpersandAmpersandEqualsToken, ["&&=", operators.logical_and_assignment]],
      [kinds.QuestionDotToken, ["?.", operators.optional_chaining]],
      [kinds.QuestionQuestionToken, ["??", operators.nullish_coalescing]],
      [kinds.PrivateIdentifier, ["#private", classes.private_class_fields]],
      [kinds.ClassStaticBlockDeclaration, ["static block", classes.static.initialization_blocks]],
    ]),
    recognized: [
      // Until Safari 16 such a field can't find the variables of its module (WebKit bug 236843).
      ["field with parentheses", (node) => ts.isPropertyDeclaration(node) && /[(]/.test(node.initializer?.getText()), classes.public_class_fields],
      ["private method", (node) => ts.isMethodDeclaration(node) && ts.isPrivateIdentifier(node.name), classes.private_class_methods],
      ["await at the top", (node) => ts.isAwaitExpression(node) && !ts.findAncestor(node, ts.isFunctionLike), operators.await.top_level],
      ["lookbehind", (node) => ts.isRegularExpressionLiteral(node) && /\(\?<[=!]/.test(node.text), regular.lookbehind_assertion],
    ],
  };
})();

/** Returns where the data may have a member of one of TypeScript's interfaces. */
function places(owner, name) {
  const builtin = owner.replace(/Constructor$/, "");
  const { builtins } = data.javascript;
  const owners = [data.api[owner], builtins[builtin], builtins.Intl[builtin]];
  return [...owners.flatMap((it) => [it?.[name], it?.[`${name}_static`]]), builtins.Intl[name]];
}

function checkName(file, checker, node) {
  const symbol = checker.getSymbolAtLocation(node);
  const own = symbol?.declarations?.filter((it) => it.getSourceFile().hasNoDefaultLib) ?? [];
  if (own.length === 0) {
    return;
  }
  const owners = own.map(({ parent }) => parent.name?.text ?? parent.parent?.name?.text ?? "");
  const known = owners.flatMap((owner) => places(owner, node.text).map((place) => [owner, place]));
  const isKnown = known.some(([owner, feature]) => check(file, owner ? `${owner}.${node.text}` : node.text, feature));
  // A global, or a member that the data has in the interfaces that share it.
  if (!isKnown && !ts.isPropertyAccessExpression(node.parent)) {
    check(file, node.text, data.api[node.text] ?? data.javascript.builtins[node.text]);
  }
}

function checkTemplate(file, text) {
  for (const [, tag, rest] of text.matchAll(/<([a-z][\w]*)((?:[^>$]|\$\{[^}]*\})*)/g)) {
    const element = data.html.elements[tag];
    check(file, `<${tag}>`, element);
    for (const [, name] of rest.matchAll(/\s([a-z-]+)=/g)) {
      check(file, `<${tag} ${name}>`, element?.[name] ?? data.html.global_attributes[name]);
    }
  }
}

function checkNode(file, checker, node) {
  const [name, feature] = syntax.get(node.kind) ?? [];
  check(file, name, feature);
  for (const [name, is, feature] of recognized) {
    if (is(node)) {
      check(file, name, feature);
    }
  }
  if (ts.isIdentifier(node)) {
    checkName(file, checker, node);
  }
  if (ts.isTemplateExpression(node) || ts.isNoSubstitutionTemplateLiteral(node)) {
    checkTemplate(file, node.getText());
  }
  ts.forEachChild(node, (child) => checkNode(file, checker, child));
}

const configuration = join(page, "tsconfig.json");
const project = ts.parseJsonConfigFileContent(JSON.parse(readFileSync(configuration, "utf8")), ts.sys, page);
const options = { ...project.options, lib: ["lib.esnext.full.d.ts"] };
const program = ts.createProgram([...project.fileNames, ...more], options);
for (const source of program.getSourceFiles().filter(({ fileName }) => fileName.endsWith(".js"))) {
  checkNode(source.fileName, program.getTypeChecker(), source);
}

// --- Styles -------------------------------------------------------------------

/** Returns the features of the data with a name, at any depth. */
function named(branch, name) {
  const children = Object.entries(branch).filter(([key]) => key !== "__compat");
  return children.flatMap(([key, child]) => [...(key === name ? [child] : []), ...named(child, name)]);
}

function checkStyles(file, text) {
  const { properties, selectors, types, "at-rules": rules } = data.css;
  for (const [, rule, condition] of text.matchAll(/@([a-z-]+)([^{]*)/g)) {
    check(file, `@${rule}`, rules[rule]);
    for (const [, feature] of condition.matchAll(/\(([a-z-]+)/g)) {
      check(file, `@media (${feature})`, rules.media[feature]);
    }
  }
  const plain = text.replace(/@[^{]*/g, "");
  for (const [, selector] of plain.matchAll(/([^{};]+)\{/g)) {
    for (const [pseudo, name] of selector.matchAll(/::?([a-z-]+)/g)) {
      check(file, pseudo, selectors[name]);
    }
  }
  for (const [, name, value] of plain.matchAll(/[{;]\s*([a-z-]+):([^;{}]+)(?=[;}])/g)) {
    check(file, name, properties[name]);
    for (const [word] of value.matchAll(/[a-z][a-z-]*(?![\w-]*\))/g)) {
      check(file, `${name}: ${word}`, properties[name]?.[word]);
    }
    for (const [, made] of value.matchAll(/([a-z-]+)\(/g)) {
      named(types, made).forEach((feature) => check(file, `${made}()`, feature));
    }
  }
}

const styles = readdirSync(join(page, "assets")).filter((name) => name.endsWith(".css"));
for (const name of styles) {
  const file = join(page, "assets", name);
  checkStyles(file, readFileSync(file, "utf8").replace(/\/\*[^]*?\*\//g, ""));
}

console.error(`${found} uses of features were looked up`);
console.log([...lacking].sort().join("\n"));
