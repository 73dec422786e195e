// A page that follows an answer with an EventSource, which can send no header: docs/dialects.md shows the same.
//
// Node has one since 20.18, behind a flag; where there is none, the class below does what a browser does with a stream.
// stdin: [{ticket, headers, wish}, …]; stdout: [{text, ids, opened}, …], in the same order.

import { readFileSync } from 'node:fs';

class Plain extends EventTarget {
  static CLOSED = 2;

  constructor(url) {
    super();
    this.readyState = 0;
    this.follow(url);
  }

  async follow(url) {
    for (let id = ''; ; ) {
      const response = await fetch(url, { headers: { Accept: 'text/event-stream', ...(id && { 'Last-Event-ID': id }) } });
      if (response.status !== 200) break;
      this.dispatchEvent(new Event('open'));
      const blocks = (await response.text()).split('\n\n').slice(0, -1);
      for (const block of blocks) {
        const lines = block.split('\n');
        id = lines.find((line) => line.startsWith('id: '))?.slice(4) ?? id;
        const data = lines.filter((line) => line.startsWith('data: ')).map((line) => line.slice(6));
        this.dispatchEvent(new MessageEvent('message', { data: data.join('\n'), lastEventId: id }));
      }
    }
    this.readyState = Plain.CLOSED;
    this.dispatchEvent(new Event('error'));
  }
}

const Source = globalThis.EventSource ?? Plain;

async function followed({ ticket, headers, wish }) {
  const { url } = await (await fetch(ticket, { method: 'POST', headers })).json();
  const source = new Source(new URL(url + wish, ticket).href);
  const found = { text: '', ids: [], opened: 0 };
  return new Promise((resolve) => {
    source.addEventListener('open', () => (found.opened += 1));
    source.addEventListener('message', ({ data, lastEventId }) => {
      const told = JSON.parse(data);
      if (told.type === 'content') found.text += told.content;
      found.ids.push(Number(lastEventId));
    });
    source.addEventListener('error', () => {
      if (source.readyState === Source.CLOSED) resolve(found);
    });
  });
}

// Node's own does not keep the process alive while it waits to come back.
const alive = setInterval(() => {}, 1000);
const tasks = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(await Promise.all(tasks.map(followed))));
clearInterval(alive);
