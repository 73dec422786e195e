/** An answer: what the model thinks, does and says, where it has it from, and how it ended. */

import type { Answer, Part, Source, Tool } from './answer';
import { Again, Check, Close, Gear, Page } from './icons';
import { Markdown } from './markdown';
import { memo } from './memo';
import type { Reply } from './talk';

interface Props {
  reply: Reply;
  version: number;
  onApprove: (reply: Reply, call: string, approved: boolean) => void;
  onAgain: (reply: Reply) => void;
}

export const ReplyView = memo(({ reply, onApprove, onAgain }: Props) => {
  const { answer } = reply;
  return (
    <article class="reply" aria-label="Answer" aria-busy={!answer.over}>
      {answer.parts.map((part, place) => (
        <PartView
          key={place}
          part={part}
          growing={!answer.over && place === answer.parts.length - 1}
          onApprove={(call, approved) => onApprove(reply, call, approved)}
        />
      ))}
      {!answer.over && <Doing reply={reply} />}
      {answer.sources.length > 0 && <Sources sources={answer.sources} />}
      {answer.failure && <Failed reply={reply} onAgain={onAgain} />}
      {answer.over && <Foot answer={answer} />}
    </article>
  );
});

function PartView({ part, growing, onApprove }: { part: Part; growing: boolean; onApprove: (call: string, approved: boolean) => void }) {
  if (part.kind === 'text') return <Markdown blocks={part.blocks} growing={growing} />;
  if (part.kind === 'tool') return <ToolView tool={part.tool} onApprove={onApprove} />;
  return (
    <details class="thinking" open={part.open}>
      <summary>{part.open ? 'Thinking' : 'What it thought'}</summary>
      <p>{part.text}</p>
    </details>
  );
}

function Doing({ reply }: { reply: Reply }) {
  const { answer } = reply;
  const last = answer.parts[answer.parts.length - 1];
  const waits = last?.kind === 'tool' && !last.tool.over;
  const words = reply.stopping ? 'Stopping' : answer.lost ? 'Connection lost, looking for it again' : answer.doing;
  if (waits && !reply.stopping && !answer.lost) return null;
  return (
    <p class="doing">
      <span class="waves"><i /><i /><i /></span>
      {words && <span>{words} …</span>}
    </p>
  );
}

function ToolView({ tool, onApprove }: { tool: Tool; onApprove: (call: string, approved: boolean) => void }) {
  const asks = tool.confirm && !tool.over && tool.said === null;
  const state = tool.error ? 'failed' : tool.over ? 'done' : asks ? 'asks' : 'runs';
  return (
    <section class={`tool ${state}`} aria-label={`Tool ${tool.name}`}>
      <details open={asks}>
        <summary>
          <Gear />
          <span class="tool-name">{tool.name}</span>
          <span class="tool-state">{stateOf(tool, asks)}</span>
        </summary>
        <dl>
          <dt>Input</dt>
          <dd><pre tabIndex={0} aria-label={`Input of ${tool.name}`}>{shown(tool.input)}</pre></dd>
          {tool.output !== undefined && <><dt>Output</dt><dd><pre tabIndex={0} aria-label={`Output of ${tool.name}`}>{shown(tool.output)}</pre></dd></>}
          {tool.error && <><dt>Error</dt><dd><pre tabIndex={0} aria-label={`Error of ${tool.name}`}>{tool.error}</pre></dd></>}
        </dl>
      </details>
      {asks && (
        <div class="asks">
          <p>This tool is called only if you say so.</p>
          <button type="button" class="solid" onClick={() => onApprove(tool.id, true)}><Check />Approve</button>
          <button type="button" onClick={() => onApprove(tool.id, false)}><Close />Refuse</button>
        </div>
      )}
    </section>
  );
}

function stateOf(tool: Tool, asks: boolean): string {
  if (tool.error) return tool.said === false ? 'refused' : 'failed';
  if (tool.over) return tool.milliseconds === undefined ? 'done' : seconds(tool.milliseconds);
  if (asks) return 'waits for your approval';
  return tool.said === false ? 'refused' : 'running …';
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2);
}

const Sources = memo(({ sources }: { sources: Source[] }) => (
  <section class="sources" aria-label="Sources">
    <h3>Sources</h3>
    <ol>
      {sources.map((source) => (
        <li key={source.key}>
          <details>
            <summary>
              <Page />
              <span class="source-name">{source.filename}</span>
              <span class="source-place">{/^\d+$/.test(source.source) ? `page ${source.source}` : source.source}</span>
            </summary>
            <blockquote>{source.content}</blockquote>
          </details>
        </li>
      ))}
    </ol>
  </section>
));

function Failed({ reply, onAgain }: { reply: Reply; onAgain: (reply: Reply) => void }) {
  return (
    <div class="failed" role="alert">
      <p>{reply.answer.failure!.message}</p>
      {reply.asked && (
        <button type="button" onClick={() => onAgain(reply)}><Again />Try again</button>
      )}
    </div>
  );
}

function Foot({ answer }: { answer: Answer }) {
  const told: string[] = [];
  if (answer.state === 'stopped') told.push('Stopped');
  if (answer.finish === 'length') told.push('Cut off at the longest answer allowed');
  if (answer.firstToken !== null) told.push(`first word after ${seconds(answer.firstToken)}`);
  if (answer.tokens) told.push(answer.tokens === 1 ? '1 token' : `${answer.tokens} tokens`);
  if (answer.duration !== null) told.push(`${seconds(answer.duration)} in all`);
  return told.length ? <p class="foot">{told.join(' · ')}</p> : null;
}

function seconds(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
