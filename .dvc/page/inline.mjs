// Writes template.html with vega, vega-lite and vega-embed in place of {libraries}: node inline.mjs MODULES OUT
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [modules, out] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
// vega itself ships no licence file; all three are one project's, under the same BSD-3-Clause text.
const licence = readFileSync(join(modules, "vega-lite", "LICENSE"), "utf8").trim();

const scripts = ["vega", "vega-lite", "vega-embed"].map((name) => {
  const { version, license } = JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8"));
  const code = readFileSync(join(modules, name, "build", `${name}.min.js`), "utf8").replaceAll("</script", "<\\/script");
  return `<script>/* ${name} ${version}, ${license}\n${licence}\n*/\n${code}</script>`;
});
const template = readFileSync(join(here, "template.html"), "utf8");
writeFileSync(out, template.replace("{libraries}", () => scripts.join("\n")));
