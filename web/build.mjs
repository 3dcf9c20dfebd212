// Bundles the libraries and puts their licences beside them. Run: npm ci && npm run build
import { build } from "esbuild";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";

const assets = new URL("../src/graphdebug/view/assets/", import.meta.url).pathname;
const packages = ["@dagrejs/dagre", "@dagrejs/graphlib", "@tanstack/virtual-core", "uplot"];

await build({
  entryPoints: ["libraries.js"], bundle: true, minify: true, format: "iife", target: "es2020",
  legalComments: "none", outfile: `${assets}libraries.js`,
});
copyFileSync("node_modules/uplot/dist/uPlot.min.css", `${assets}libraries.css`);

const licences = packages.map((name) => {
  const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`));
  const text = readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim();
  return `${name} ${version} (${license})\n\n${text}\n`;
});
writeFileSync(`${assets}LICENCES.txt`, licences.join(`\n${"-".repeat(72)}\n\n`));
