/** A component that is drawn again only when one of its properties is another one. */

import { Component, h, type ComponentType, type FunctionComponent } from 'preact';

export function memo<P extends object>(inner: FunctionComponent<P>): ComponentType<P> {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      const keys = new Set([...Object.keys(next), ...Object.keys(this.props)]) as Set<keyof P>;
      return [...keys].some((key) => next[key] !== this.props[key]);
    }
    override render() {
      return h(inner, this.props as P);
    }
  };
}
