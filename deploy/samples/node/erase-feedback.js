// The agent's hook for the website's feedback: a file each, <feedback_id>.json, in the directory
// FEEDBACK. A command comes in as JSON, and its result goes out as JSON. Whatever goes wrong ends it
// with an exit code that is not 0: then the command comes again.
import {existsSync, readFileSync, readdirSync, rmSync} from 'node:fs';
import {join} from 'node:path';

const {command, run} = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(carryOut(process.env.FEEDBACK)));

function carryOut(store) {
  const wanted = command.records.map(({id, keys}) => ({id, feedback: keys.feedback_id ?? ''}));
  if (!wanted.every(({feedback}) => /^[A-Za-z0-9-]+$/.test(feedback))) {
    // Never done: nobody knows where it would lie.
    return {status: 'failed', detail: 'a record has no feedback_id that can be used'};
  }
  const held = wanted
    .map(({id, feedback}) => ({id, file: join(store, `${feedback}.json`)}))
    .filter(({file}) => existsSync(file));
  const counts = {feedback: held.length};
  switch (command.action) {
    case 'erase':
      for (const {file} of held) rmSync(file, {force: true});
      // A run before this one may have been cut short after it had erased.
      return {status: held.length || run > 1 ? 'done' : 'nothing_held', counts};
    case 'verify':
      return {status: 'done', counts: {feedback: left(store, wanted)}};
    case 'disclose': {
      const records = held.map(({id, file}) => ({type: 'feedback', id, data: read(file)}));
      return {status: held.length ? 'done' : 'nothing_held', counts, records};
    }
    case 'recall':
      return {status: held.length ? 'recalled' : 'already_done'};
    default:
      return {status: 'failed', detail: `feedback knows no ${command.action}`};
  }
}

// Reads again by another way than it was erased by: by what every file says that it is.
function left(store, wanted) {
  const ids = new Set(wanted.map(({feedback}) => feedback));
  return readdirSync(store).filter((name) => ids.has(read(join(store, name)).feedback_id)).length;
}

function read(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}
