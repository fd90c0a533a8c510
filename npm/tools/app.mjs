// Builds one of the apps of e2e/apps with Vite, as its framework's users do.
//
//   node app.mjs <folder with the apps and node_modules> <name of the app> <folder for the page>
import { join } from "node:path";
import { build } from "vite";

const [apps, name, out] = process.argv.slice(2);
const plugins = {
  vue: async () => (await import("@vitejs/plugin-vue")).default(),
  svelte: async () => (await import("@sveltejs/vite-plugin-svelte")).svelte({ configFile: false }),
};
await build({
  root: join(apps, name), base: "./", configFile: false, logLevel: "warn",
  plugins: plugins[name] ? [await plugins[name]()] : [],
  build: { outDir: out, emptyOutDir: true, chunkSizeWarningLimit: 2000 }, // Angular's compiler is large
});
