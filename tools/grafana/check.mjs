// Checks dashboards against the types of @grafana/schema:
//
//   node check.mjs FOLDER-WITH-NODE_MODULES FILE …
//
// A dashboard becomes a TypeScript program that says of each of its parts which
// type it has. Then copies with one mistake each must all be refused.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

const [folder, ...files] = process.argv.slice(2);
const ts = createRequire(join(resolve(folder), 'package.json'))('typescript');

// The options of each type of panel: the module, and the name in it.
const options = {
  stat: ['stat/panelcfg/x/StatPanelCfg_types.gen', 'Options'],
  bargauge: ['bargauge/panelcfg/x/BarGaugePanelCfg_types.gen', 'Options'],
  timeseries: ['timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen', 'Options'],
};

const head = `
import type { Dashboard, Panel, FieldConfig, VariableModel } from './node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen';
${Object.entries(options).map(([type, [module, name]]) => `import type { ${name} as ${type} } from '@grafana/schema/dist/esm/raw/composable/${module}';`).join('\n')}
// JSON has strings where the types have enumerations.
type Plain<T> = T extends string ? \`\${T}\` : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
// What Grafana leaves to the data source.
interface Target {
  refId: string; datasource: { type: 'prometheus'; uid: string }; expr: string; legendFormat: string;
  instant: boolean; range: boolean; format: 'time_series' | 'heatmap' | 'table'; exemplar?: boolean;
}
type Has<T, K extends keyof T> = T & Required<Pick<T, K>>;
type Of<O, T extends string> = Plain<Has<Omit<Panel, 'options' | 'targets' | 'fieldConfig' | 'type'>, 'id' | 'title' | 'gridPos' | 'datasource'>> &
  { type: T; options: Plain<O>; targets: Target[]; fieldConfig: { defaults: Plain<FieldConfig>; overrides: [] } };
`;

// program returns the TypeScript program that a dashboard becomes.
function program(d) {
  const json = (v) => JSON.stringify(v, null, 2);
  const { panels, ...rest } = d;
  let out = head + `({ ${json(rest).slice(1, -1)} } satisfies Plain<Has<Omit<Dashboard, 'panels'>, 'uid' | 'title' | 'templating' | 'time'>>);\n`;
  for (const v of d.templating?.list ?? []) out += `(${json(v)} satisfies Plain<VariableModel>);\n`;
  for (const p of panels) {
    if (!options[p.type]) throw new Error(`panel ${json(p.title)} is of the type ${json(p.type)}; known here are ${Object.keys(options).join(', ')}`);
    out += `(${json(p)} satisfies Of<${p.type}, '${p.type}'>);\n`;
  }
  return out;
}

// check compiles programs by their names, and returns what is wrong with each.
function check(programs) {
  const settings = { strict: true, noEmit: true, skipLibCheck: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, types: [] };
  const host = ts.createCompilerHost(settings);
  const path = (name) => join(resolve(folder), name + '.ts');
  const sources = new Map(Object.entries(programs).map(([name, text]) => [path(name), text]));
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (f) => sources.has(f) || fileExists(f);
  host.readFile = (f) => sources.get(f) ?? readFile(f);
  host.getSourceFile = (f, version, ...more) => sources.has(f) ? ts.createSourceFile(f, sources.get(f), version) : getSourceFile(f, version, ...more);
  const compiled = ts.createProgram([...sources.keys()], settings, host);
  const found = Object.fromEntries(Object.keys(programs).map((name) => [name, []]));
  for (const d of ts.getPreEmitDiagnostics(compiled)) {
    const text = ts.flattenDiagnosticMessageText(d.messageText, '\n');
    const name = d.file && [...sources.keys()].includes(d.file.fileName) ? basename(d.file.fileName, '.ts') : undefined;
    if (!name) throw new Error(text); // the types themselves are not there
    const line = d.file.text.split('\n')[d.file.getLineAndCharacterOfPosition(d.start).line];
    found[name].push(`${line.trim()}\n    ${text}`);
  }
  return found;
}

// The mistakes: each changes a dashboard into one that Grafana would not take as
// it was meant.
const mistakes = {
  'an unknown field of the dashboard': (d) => { d.titel = 'x'; },
  'a number for its title': (d) => { d.title = 7; },
  'no uid': (d) => { delete d.uid; },
  'an unknown field of a panel': (d) => { d.panels[0].gridpos = {}; },
  'a panel without a place': (d) => { delete d.panels[0].gridPos; },
  'a place without a width': (d) => { delete d.panels[0].gridPos.w; },
  'an unknown option of a panel': (d) => { d.panels[0].options.grafMode = 'none'; },
  'a value that an option does not have': (d) => { d.panels[0].options.reduceOptions.calcs = 'last'; },
  'a word that an enumeration does not have': (d) => { d.panels.find((p) => p.type === 'bargauge' || p.type === 'timeseries').options.legend.displayMode = 'lists'; },
  'a query without an expression': (d) => { delete d.panels[0].targets[0].expr; },
  'an unknown field of a query': (d) => { d.panels[0].targets[0].query = 'up'; },
  'a unit that is not a word': (d) => { d.panels[0].fieldConfig.defaults.unit = 1; },
};

const dashboards = Object.fromEntries(files.map((f) => [basename(f, '.json'), JSON.parse(readFileSync(f, 'utf8'))]));
const programs = {};
for (const [name, d] of Object.entries(dashboards)) {
  programs[name] = program(d);
  for (const [what, make] of Object.entries(mistakes)) {
    const wrong = structuredClone(d);
    make(wrong);
    programs[`${name} with ${what}`] = program(wrong);
  }
}
let failed = false;
const say = (text) => { failed = true; console.error(text); };
for (const [name, problems] of Object.entries(check(programs))) {
  const own = name in dashboards;
  if (own) problems.forEach((p) => say(`${name}.json: ${p}`));
  else if (problems.length === 0) say(`dashboard ${name} was taken: the check finds nothing`);
}
if (failed) process.exit(1);
console.log(`${files.length} dashboards have the types of Grafana; ${files.length * Object.keys(mistakes).length} with a mistake were refused`);
