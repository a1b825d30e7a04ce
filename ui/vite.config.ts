import react from '@vitejs/plugin-react';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vite';

declare const process: { env: Record<string, string | undefined> };

// Where a running Norn answers while the page is being worked on.
const norn = process.env.NORN_URL ?? 'http://127.0.0.1:9090';

/** Puts the licences of all packages that are part of the page beside it. */
function licences(): Plugin {
  return {
    name: 'licences',
    generateBundle() {
      const found = new Map<string, string>();
      for (const id of this.getModuleIds()) {
        const dir = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0].replace(/^\0/, '');
        if (!dir || !existsSync(`${dir}/package.json`)) continue;
        const { name, version, license } = JSON.parse(readFileSync(`${dir}/package.json`, 'utf8'));
        const files = readdirSync(dir).filter((file) => /^(licen[cs]e|notice)/i.test(file)).sort();
        const texts = files.map((file) => readFileSync(`${dir}/${file}`, 'utf8').trim());
        found.set(`${name} ${version}`, [`${name} ${version} (${license})`, ...texts].join('\n\n'));
      }
      const source = [...found.keys()].sort().map((name) => found.get(name)).join(`\n\n${'-'.repeat(80)}\n\n`);
      this.emitFile({ type: 'asset', fileName: 'LICENSES.txt', source: `${source}\n` });
    },
  };
}

export default defineConfig({
  plugins: [react(), licences()],
  // Relative, so that the page works below any prefix of a proxy.
  base: './',
  build: {
    outDir: '../crates/ui/dist',
    emptyOutDir: true,
    target: 'es2022',
    // Embedded files are served with a strict policy that allows no data: scripts or styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: { proxy: { '/api': norn, '/-': norn } },
});
