/** Where the next question is written. Enter sends it, Shift and Enter begin a new line. */

import type { RefObject } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Config } from './config';
import { Send, Stop } from './icons';
import type { Talk } from './talk';

interface Props {
  config: Config;
  talk: Talk;
  input: RefObject<HTMLTextAreaElement | null>;
  onSend: (asked: { text: string; audio?: Blob; search: boolean }) => void;
}

export function Composer({ config, talk, input, onSend }: Props) {
  const [text, setText] = useState('');
  const live = talk.live;
  const ready = text.trim() !== '' && !live && config.agents.length > 0;
  useEffect(() => fit(input.current), [text]);
  useEffect(() => input.current?.focus(), [talk]);

  const send = () => {
    if (!ready) return;
    onSend({ text: text.trim(), search: false });
    setText('');
  };
  const key = (event: KeyboardEvent) => {
    // While a word is composed, as in Japanese, Enter ends that word.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <form class="composer" onSubmit={(event) => { event.preventDefault(); send(); }}>
      <div class="box">
        <textarea
          id="message"
          ref={input}
          rows={1}
          value={text}
          maxLength={config.message_chars}
          placeholder="Message"
          aria-label="Message"
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={key}
        />
        <div class="tools">
          <span class="grow" />
          {live ? (
            <button type="button" class="round stop" aria-label="Stop the answer" disabled={live.stopping} onClick={() => void talk.stop(live)}><Stop /></button>
          ) : (
            <button type="submit" class="round" aria-label="Send" disabled={!ready}><Send /></button>
          )}
        </div>
      </div>
      {config.agents.length === 0 && <p class="faint">No agent of this server is open to visitors (agents.NAME.anonymous).</p>}
    </form>
  );
}

function fit(area: HTMLTextAreaElement | null): void {
  if (!area) return;
  area.style.height = 'auto';
  area.style.height = `${Math.min(area.scrollHeight, 240)}px`;
}
