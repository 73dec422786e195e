import { defineConfig } from 'vite';

// Addresses are relative, so that the page also works behind a proxy that puts it into a folder.
export default defineConfig({
  base: './',
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  build: {
    outDir: '../src/rivermouth/doors/_page',
    emptyOutDir: true,
    assetsDir: 'page',
    assetsInlineLimit: 0,
    target: 'es2022',
    modulePreload: { polyfill: false },
  },
});
