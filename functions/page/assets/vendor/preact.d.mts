/** The part of Preact that the page uses. */
export type Node = object | string | number | boolean | null | undefined | Node[];
export class Component<P = object, S = object> {
  constructor(props: P);
  props: P & { children?: Node };
  state: S;
  setState(change: Partial<S>): void;
  componentDidMount?(): void;
  componentDidUpdate?(before: P): void;
  componentWillUnmount?(): void;
  render(): Node;
}
export function h(type: unknown, props: object | null, ...children: Node[]): Node;
export function render(node: Node, parent: Element): void;
