import { useCallback, useSyncExternalStore } from "react";

/** The value of a variable, and what publishes one: `const [level, setLevel] = useVariable(hub.robot.battery)`. */
export function useVariable(variable) {
  const subscribe = useCallback((changed) => variable.watch(changed), [variable]);
  const value = useSyncExternalStore(subscribe, () => variable.value, () => null);
  return [value, useCallback((next) => variable.pub(next), [variable])];
}
