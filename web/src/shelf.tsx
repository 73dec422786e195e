/** The files above the message: how far each is, why one failed, and a way to take it away. */

import { finished, megabytes, type Coming, type Files, type Stored } from './files';
import { Again, Close, Page } from './icons';

export function Shelf({ files }: { files: Files }) {
  if (files.coming.length + files.stored.length === 0 && !files.trouble) return null;
  return (
    <section class="shelf" aria-label="Files">
      {files.trouble && <p class="failed" role="alert">{files.trouble}</p>}
      <ul>
        {files.coming.map((one) => <OnItsWay key={`coming-${one.key}`} one={one} files={files} />)}
        {files.stored.map((one) => <Kept key={one.id} one={one} files={files} />)}
      </ul>
      {files.stored.length > 0 && (
        <label class="wanted">
          <input type="checkbox" checked={files.wanted} onChange={(event) => files.want(event.currentTarget.checked)} />
          Look into {files.stored.length === 1 ? 'it' : 'them'} for answers
        </label>
      )}
    </section>
  );
}

function OnItsWay({ one, files }: { one: Coming; files: Files }) {
  const percent = Math.round(one.sent * 100);
  return (
    <li class={one.failure ? 'broken' : ''}>
      <Page />
      <span class="file-name" title={one.filename}>{one.filename}</span>
      {one.failure ? (
        <>
          <span class="file-state" role="alert">{one.failure}</span>
          <button type="button" class="quiet" aria-label={`Send ${one.filename} again`} onClick={() => files.again(one)}><Again /></button>
        </>
      ) : (
        <>
          <progress max={100} value={percent} aria-label={`Sending ${one.filename}`} />
          <span class="file-state">{percent < 100 ? `${percent} % of ${megabytes(one.size)}` : 'arrived'}</span>
        </>
      )}
      <button type="button" class="quiet" aria-label={`Do not send ${one.filename}`} onClick={() => files.drop(one)}><Close /></button>
    </li>
  );
}

function Kept({ one, files }: { one: Stored; files: Files }) {
  const failed = one.status === 'failure';
  return (
    <li class={failed ? 'broken' : ''}>
      <Page />
      <span class="file-name" title={one.filename}>{one.filename}</span>
      {!finished(one) && <progress max={100} value={Math.round(one.progress * 100)} aria-label={`Reading ${one.filename}`} />}
      <span class="file-state">{failed ? (one.errors[0] ?? 'It could not be read.') : finished(one) ? megabytes(one.size) : 'being read'}</span>
      <button type="button" class="quiet" aria-label={`Take ${one.filename} away`} onClick={() => void files.remove(one)}><Close /></button>
    </li>
  );
}
