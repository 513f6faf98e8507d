import type { Node } from "./preact.mjs";
declare const htm: {
  bind(h: (type: unknown, props: object | null, ...children: Node[]) => Node): (
    strings: TemplateStringsArray,
    ...values: unknown[]
  ) => Node;
};
export default htm;
