// The agent's hook for the website's feedback: a file each, <feedback_id>.json, in the directory
// FEEDBACK. A command comes in as JSON, and its result goes out as JSON. Whatever goes wrong ends it
// with an exit code that is not 0: then the command comes again.
//
// A notice is a file in outbox/, <command_id>.json, which a mailer sends and then renames to
// <command_id>.sent. A transfer copies each file to archive/, as <command_id>.<feedback_id>.json.
import {copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync} from
  'node:fs';
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
    .map(({id, feedback}) => ({id, feedback, file: join(store, `${feedback}.json`)}))
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
    case 'notify': {
      const notice = {feedback: held.map(({feedback}) => feedback), ends: command.erase_by};
      if (held.length && !existsSync(inFolder(store, 'outbox', `${command.command_id}.sent`))) {
        writeFileSync(inFolder(store, 'outbox', `${command.command_id}.json`), JSON.stringify(notice));
      }
      return {status: held.length ? 'done' : 'nothing_held', counts};
    }
    case 'transfer':
      for (const {feedback, file} of held) {
        copyFileSync(file, inFolder(store, 'archive', `${command.command_id}.${feedback}.json`));
      }
      return {status: held.length ? 'done' : 'nothing_held', counts};
    case 'recall':
      return {status: recalled(store, command.supersedes, held) ? 'recalled' : 'already_done'};
    default:
      return {status: 'failed', detail: `feedback knows no ${command.action}`};
  }
}

// A recall does not name the action of the command that it recalls: that command has left a file.
function recalled(store, recalledId, held) {
  const notice = inFolder(store, 'outbox', `${recalledId}.json`);
  if (existsSync(notice)) {
    rmSync(notice); // not mailed yet
    return true;
  }
  const archived = readdirSync(inFolder(store, 'archive', ''));
  const isCopied = archived.some((name) => name.startsWith(`${recalledId}.`));
  const isMailed = existsSync(inFolder(store, 'outbox', `${recalledId}.sent`));
  return held.length > 0 && !isCopied && !isMailed;
}

function inFolder(store, folder, name) {
  mkdirSync(join(store, folder), {recursive: true});
  return join(store, folder, name);
}

// Reads again by another way than it was erased by: by what every file says that it is.
function left(store, wanted) {
  const ids = new Set(wanted.map(({feedback}) => feedback));
  const names = readdirSync(store).filter((name) => name.endsWith('.json'));
  return names.filter((name) => ids.has(read(join(store, name)).feedback_id)).length;
}

function read(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}
