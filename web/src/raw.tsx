/** The same answer as the bytes of any dialect, as they come. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { Close } from './icons';
import { keep, kept } from './memory';
import { words } from './talk';
import { request } from './wire';

/** Characters that are shown; a browser is slow with more text than that in one place. */
const MOST = 400_000;

interface Props {
  dialects: string[];
  stream: string | null;
  onClose: () => void;
}

export function RawPanel({ dialects, stream, onClose }: Props) {
  const [dialect, setDialect] = useState(() => dialects.find((one) => one === kept('rivermouth.dialect')) ?? dialects.find((one) => one === 'smarttalk') ?? dialects[0] ?? '');
  const [told, setTold] = useState('');
  const place = useRef<HTMLPreElement>(null);

  useEffect(() => {
    const pre = place.current!;
    pre.replaceChildren();
    setTold('');
    if (!stream || !dialect) return;
    const ending = new AbortController();
    void follow(stream, dialect, pre, setTold, ending.signal);
    return () => ending.abort();
  }, [stream, dialect]);

  const choose = (name: string) => {
    keep('rivermouth.dialect', name);
    setDialect(name);
  };
  return (
    <aside class="raw" aria-label="Raw stream">
      <div class="raw-top">
        <h2>Raw stream</h2>
        <label>
          <span class="unseen">Dialect</span>
          <select value={dialect} onChange={(event) => choose(event.currentTarget.value)}>
            {dialects.map((one) => <option key={one}>{one}</option>)}
          </select>
        </label>
        <button type="button" class="quiet" aria-label="Close the raw stream" onClick={onClose}><Close /></button>
      </div>
      {stream ? (
        <p class="address"><code>GET /streams/{stream}?dialect={dialect}</code></p>
      ) : (
        <p class="faint">The bytes of the next answer appear here, in any dialect.</p>
      )}
      <pre ref={place} tabIndex={0} aria-label={`Bytes of the answer in ${dialect}`} />
      <p class="foot">{told}</p>
    </aside>
  );
}

async function follow(stream: string, dialect: string, pre: HTMLElement, tell: (text: string) => void, signal: AbortSignal): Promise<void> {
  let bytes = 0;
  let shown = 0;
  let waiting = '';
  let drawing = false;
  let over = false;
  const draw = () => {
    drawing = false;
    if (signal.aborted) return;
    const atEnd = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 40;
    // Whole lines, in a block of their own: else all that came before would be laid out again.
    const whole = over ? waiting.length : waiting.lastIndexOf('\n') + 1;
    const lines = document.createElement('div');
    lines.textContent = waiting.slice(0, Math.min(whole, Math.max(0, MOST - shown)));
    if (lines.textContent) pre.append(lines);
    shown += whole;
    waiting = waiting.slice(whole);
    tell(`${bytes.toLocaleString('en')} bytes${shown > MOST ? `, of which the first ${MOST.toLocaleString('en')} are shown` : ''}`);
    if (atEnd) pre.scrollTop = pre.scrollHeight;
  };
  try {
    const response = await request(`streams/${stream}?dialect=${encodeURIComponent(dialect)}`, { signal });
    const reader = response.body!.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.length;
      waiting += decoder.decode(value, { stream: true });
      if (!drawing) {
        drawing = true;
        requestAnimationFrame(draw);
      }
    }
    over = true;
    draw();
  } catch (error) {
    // A system without an error event breaks its body off: that is how it says that the answer has failed.
    if (!signal.aborted) tell(bytes ? `${bytes.toLocaleString('en')} bytes, then the body broke off` : words(error));
  }
}
