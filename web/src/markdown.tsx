/**
 * A text that grows: its finished blocks are drawn once, its last one at most once a frame.
 *
 * The nodes are put there by hand. With a component for each block all of them would be compared for each word, and a long answer
 * would cost more with each.
 */

import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { Blocks } from './blocks';
import { nodesOf } from './html';

export function Markdown({ blocks, growing }: { blocks: Blocks; growing: boolean }) {
  const place = useRef<HTMLDivElement>(null);
  const drawing = useRef<Drawing | null>(null);
  useLayoutEffect(() => {
    drawing.current ??= new Drawing(place.current!, blocks);
    drawing.current.update(growing);
  });
  useEffect(() => () => drawing.current?.end(), []);
  return <div class="prose" ref={place} />;
}

class Drawing {
  private drawn = 0;
  private tail = '';
  private readonly last = block();
  private next = 0;
  private timer = 0;

  constructor(
    place: HTMLElement,
    private readonly blocks: Blocks,
  ) {
    place.append(this.last);
  }

  /** The longer the last block takes to draw, the less often that is done: at most a quarter of the time goes into it. */
  update(growing: boolean): void {
    const wait = this.next - performance.now();
    clearTimeout(this.timer);
    if (wait <= 0 || !growing) this.draw();
    else this.timer = window.setTimeout(() => this.draw(), wait);
  }

  end(): void {
    clearTimeout(this.timer);
  }

  private draw(): void {
    const { done, tail, around } = this.blocks;
    const began = performance.now();
    for (; this.drawn < done.length; this.drawn += 1) {
      const one = block();
      one.replaceChildren(nodesOf(done[this.drawn]!, around));
      this.last.before(one);
    }
    if (tail !== this.tail) this.last.replaceChildren(nodesOf(tail, around));
    this.last.hidden = tail === '';
    this.tail = tail;
    this.next = performance.now() + 3 * (performance.now() - began);
  }
}

function block(): HTMLDivElement {
  const one = document.createElement('div');
  one.className = 'block';
  return one;
}
