/** A text that grows: its finished blocks are drawn once, its last one at most once a frame. */

import { memo } from './memo';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { Blocks } from './blocks';
import { nodesOf } from './html';

export function Markdown({ blocks, growing }: { blocks: Blocks; growing: boolean }) {
  return (
    <div class="prose">
      {blocks.done.map((block) => (
        <Done key={block.key} text={block.text} around={blocks.around} />
      ))}
      {blocks.tail && <Tail key="tail" text={blocks.tail} around={blocks.around} growing={growing} />}
    </div>
  );
}

interface Text {
  text: string;
  around: Record<string, unknown>;
}

const Done = memo(({ text, around }: Text) => {
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => place.current!.replaceChildren(nodesOf(text, around)), [text]);
  return <div class="block" ref={place} />;
});

/** The longer it takes to draw it, the less often that is done: at most a quarter of the time goes into it. */
function Tail({ text, around, growing }: Text & { growing: boolean }) {
  const place = useRef<HTMLDivElement>(null);
  const state = useRef({ text: '', next: 0, timer: 0 });
  const draw = () => {
    const one = state.current;
    const began = performance.now();
    place.current?.replaceChildren(nodesOf(one.text, around));
    one.next = performance.now() + 3 * (performance.now() - began);
  };
  useLayoutEffect(() => {
    const one = state.current;
    one.text = text;
    clearTimeout(one.timer);
    const wait = one.next - performance.now();
    if (wait <= 0 || !growing) draw();
    else one.timer = window.setTimeout(draw, wait);
  }, [text, growing]);
  useEffect(() => () => clearTimeout(state.current.timer), []);
  return <div class="block" ref={place} />;
}
