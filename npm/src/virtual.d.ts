/** Go's wasm_exec.js, wrapped by build.mjs so that it sees our objects instead of the page's globals. */
declare module "virtual:wasm-exec" {
  export interface Go {
    importObject: WebAssembly.Imports & { gojs: Record<string, (sp: number) => void> };
    exit: (code: number) => void;
    exited?: boolean;
    mem: DataView;
    _pendingEvent: object | null;
    run(instance: WebAssembly.Instance): Promise<void>;
    _resume(): void;
  }
  /** Runs the script; `scope` stands for globalThis, `fs` for the variable of that name. */
  export function loadGo(scope: object, fs: object): new () => Go;
}
