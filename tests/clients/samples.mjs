// The JavaScript clients that the five systems document, as their users have written them: short, and sure of themselves.
//
// A *reading* makes pieces of a response as a page or a script does: most cut lines, one cuts at empty lines. A *sample*
// makes an answer of pieces as a system's documentation does.
// stdin: [{reading, sample, url, headers, body}, …]; stdout: [{text, whole} | {failed}, …], in the same order.

import { readFileSync } from 'node:fs';
import axios from 'axios';

async function post({ url, headers, body }) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return response;
}

function postAxios({ url, headers, body }) {
  return axios.post(url, body, { headers, responseType: 'stream', timeout: 10000 });
}

const readings = {
  // A careful page: one decoder for the whole stream, and half a line is kept for later.
  async 'fetch'(task, onPiece) {
    const reader = (await post(task)).body.getReader();
    const decoder = new TextDecoder();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
      rest = lines.pop();
      lines.forEach(onPiece);
    }
  },

  // The usual page: a fresh decoding for each read, and half a line is lost.
  async 'fetch, each read by itself'(task, onPiece) {
    const reader = (await post(task)).body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      new TextDecoder().decode(value).split('\n').forEach(onPiece);
    }
  },

  // A page behind a network that gives three bytes at a time: lines are kept together, characters are not.
  async 'fetch, three bytes at a time'(task, onPiece) {
    let rest = '';
    for await (const value of (await post(task)).body) {
      for (let at = 0; at < value.length; at += 3) {
        const lines = (rest + new TextDecoder().decode(value.subarray(at, at + 3))).split('\n');
        rest = lines.pop();
        lines.forEach(onPiece);
      }
    }
  },

  // Cuts at empty lines, and takes what begins with `data: ` to its end.
  async 'fetch, in blocks'(task, onPiece) {
    const reader = (await post(task)).body.getReader();
    const decoder = new TextDecoder();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const blocks = (rest + decoder.decode(value, { stream: true })).split('\n\n');
      rest = blocks.pop();
      blocks.forEach(onPiece);
    }
  },

  async 'axios'(task, onPiece) {
    const { data } = await postAxios(task);
    let rest = '';
    data.setEncoding('utf8');
    for await (const text of data) {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      lines.forEach(onPiece);
    }
  },

  // The usual script: each `data` event is a string of whole lines, it believes.
  async 'axios, each read by itself'(task, onPiece) {
    const { data } = await postAxios(task);
    await new Promise((resolve, reject) => {
      data.on('data', (chunk) => chunk.toString().split('\n').forEach(onPiece));
      data.on('end', resolve);
      data.on('error', reject);
    });
  },
};

const samples = {
  // Keeps the last event's name, across blank lines and across reads.
  knowbase(heard) {
    let event = '';
    return (line) => {
      if (line.startsWith('event: ')) event = line.slice(7);
      if (!line.startsWith('data: ')) return;
      const data = JSON.parse(line.slice(6));
      if (event === 'token') heard.text += data.t;
      if (event === 'done') heard.whole = data.full_text;
      if (event === 'error') throw new Error(data.error.message);
    };
  },

  ares(heard) {
    return (line) => {
      if (line.startsWith('data: ')) heard.text += line.slice(6);
    };
  },

  wisqu(heard) {
    return (line) => {
      if (!line.startsWith('data: ')) return;
      const event = JSON.parse(line.slice(6));
      switch (event.type) {
        case 'content': heard.text += event.content; break;
        case 'metadata': heard.whole = event.message_id && event.usage ? heard.text : null; break;
        case 'error': throw new Error(event.error);
      }
    };
  },

  session(heard) {
    return (line) => {
      if (!line.startsWith('data: ')) return;
      const data = JSON.parse(line.slice(6));
      if (data.token) heard.text += data.token;
      else if (data.done) heard.whole = data.full_response;
      else if (data.error) throw new Error(data.error);
    };
  },

  smarttalk(heard) {
    let failure = null;
    return (block) => {
      if (!block.startsWith('data: ')) return;
      const event = JSON.parse(block.slice('data: '.length));
      if (event.type === 'token') heard.text += event.token;
      if (event.type === 'agent_response') heard.whole = event.response;
      if (event.type === 'error') failure = event.error;
      if (event.type === 'stream_end' && !event.success) throw new Error(failure);
    };
  },
};

async function run(task) {
  const heard = { text: '', whole: null };
  try {
    await readings[task.reading](task, samples[task.sample](heard));
    return heard;
  } catch (error) {
    return { failed: String(error.cause?.message ?? error.message), text: heard.text };
  }
}

const answers = [];
for (const task of JSON.parse(readFileSync(0, 'utf8'))) answers.push(await run(task));
process.stdout.write(JSON.stringify(answers));
