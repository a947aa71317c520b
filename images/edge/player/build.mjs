/**
 * Builds the page into `dist/`:
 *
 *   dist/index.html      the page, for every stream
 *   dist/NAME-HASH.js    modules; the 360° part is a module of its own
 *   dist/NAME-HASH.css
 *   dist/*.gz            the same files, compressed once, for nginx's gzip_static
 *   dist/licences.txt    licences of the libraries in these files
 *
 * The edge serves all files but `index.html` below `/_player/`, because no namespace can have this
 * name. Their names contain a hash of the content, so they never change and may be cached for ever.
 */

import { build } from "esbuild";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { constants, gzipSync } from "node:zlib";

const OUT = "dist";
const LIBRARIES = ["hls.js", "media-chrome", "three"];
const LEVEL = { level: constants.Z_BEST_COMPRESSION };

await rm(OUT, { recursive: true, force: true });
await mkdir(OUT);

const { metafile } = await build({
  entryPoints: { player: "src/main.js", style: "src/player.css" },
  outdir: OUT,
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome94", "firefox93", "safari16"],
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

/** Return the output that was made from a source, as the address on the edge. */
function addressOf(source) {
  const [path] = Object.entries(metafile.outputs).find(([, { entryPoint }]) => entryPoint === source);
  return `/_player/${basename(path)}`;
}

// Modules that the page needs at once are requested together, and not one after the other.
const controls = addressOf("src/controls.js");
const main = `${OUT}/${basename(addressOf("src/main.js"))}`;
const shared = metafile.outputs[main].imports
  .filter(({ kind }) => kind === "import-statement")
  .map(({ path }) => `/_player/${basename(path)}`);
const preloads = [...shared, controls].map((href) => `<link rel="modulepreload" href="${href}">`);

const page = (await readFile("src/index.html", "utf8"))
  .replace("<!--preload-->", preloads.join("\n"))
  .replace("<!--css-->", addressOf("src/player.css"))
  .replace("<!--js-->", addressOf("src/main.js"));
await writeFile(`${OUT}/index.html`, page);

const licences = [];
for (const name of LIBRARIES) {
  const folder = join("node_modules", name);
  const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
  licences.push(`${name} ${version}\n\n${(await readFile(join(folder, file), "utf8")).trim()}\n`);
}
await writeFile(join(OUT, "licences.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));

for (const name of await readdir(OUT)) {
  const data = await readFile(join(OUT, name));
  const packed = gzipSync(data, LEVEL);
  if (name !== "index.html") await writeFile(join(OUT, `${name}.gz`), packed);
  console.log(`${name}: ${data.length} bytes, ${packed.length} compressed`);
}
