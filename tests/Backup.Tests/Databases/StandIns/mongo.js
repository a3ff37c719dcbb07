#!/usr/bin/env node
// Stands in for MongoDB's programs where they cannot be had: mongod, mongosh, mongo (the shell before 5.0), mongodump and mongorestore, chosen by the
// name it is called by. Strict: what the real ones refuse it refuses, in their words and with their exit codes; it does no more than the backup's
// scripts need. The JavaScript of --eval is run, not recognised. What it keeps is in two folders:
//   /data/db      databases as folders, collections as files of one JSON document a line: the volume
//   /srv/mongod   the server's memory, readable from the host: state.json; log, one line for each write, lock, unlock and command line
'use strict';
const fs = require('fs'), path = require('path'), vm = require('vm');
const program = path.basename(process.argv[1]), args = process.argv.slice(2);
const DATA = '/data/db', MEMORY = '/srv/mongod', STATE = MEMORY + '/state.json';

const nap = ms => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const log = line => fs.appendFileSync(MEMORY + '/log', line + '\n');
const die = (code, ...lines) => { if (lines.length) fs.writeSync(2, lines.join('\n') + '\n'); process.exit(code); };
const alive = pid => { try { process.kill(pid, 0); return true; } catch { return false; } };
const read = () => JSON.parse(fs.readFileSync(STATE, 'utf8'));

// One at a time, as inside a server. Who died inside does not keep the others out.
function inside(work) {
  const mutex = MEMORY + '/mutex';
  for (;;) {
    try { fs.writeFileSync(mutex, `${process.pid}`, { flag: 'wx' }); break; } catch { /* taken */ }
    try { const owner = fs.readFileSync(mutex, 'utf8'); if (owner && !alive(+owner)) fs.unlinkSync(mutex); } catch { /* just freed */ }
    nap(1);
  }
  try {
    const state = fs.existsSync(STATE) ? read() : {};
    const before = JSON.stringify(state), result = work(state);
    if (JSON.stringify(state) !== before) { fs.writeFileSync(STATE + '.new', JSON.stringify(state)); fs.renameSync(STATE + '.new', STATE); }
    return result;
  } finally { fs.unlinkSync(mutex); }
}

// ---- the server: writes all the time, two collections that must agree, and waits while it is fsync-locked

function serve() {
  fs.mkdirSync(DATA + '/admin', { recursive: true });
  const { MONGO_INITDB_ROOT_USERNAME: user, MONGO_INITDB_ROOT_PASSWORD: password, WRITES } = process.env;
  // The image makes the user of its variables only where the folder is new; the lock does not outlive the process.
  const users = DATA + '/admin/system.users';
  if (!fs.existsSync(users)) fs.writeFileSync(users, user ? JSON.stringify({ _id: 'admin.' + user, user, password }) + '\n' : '');
  inside(state => Object.assign(state, { pid: process.pid, lockCount: 0 }));
  process.on('SIGTERM', () => process.exit(0));
  let n = 0, blocked = false;
  const write = () => {
    blocked = inside(state => {
      if (state.lockCount > 0) { if (!blocked) log('write blocked'); return true; }
      fs.mkdirSync(DATA + '/shop', { recursive: true });
      n++;
      for (const collection of ['left', 'right']) fs.writeFileSync(`${DATA}/shop/${collection}`, JSON.stringify({ _id: 1, n }) + '\n');
      log('write');
      return false;
    });
  };
  setInterval(() => WRITES === 'no' || write(), 10);
}

// ---- one connection

class ServerError extends Error {
  constructor(message, code, codeName) { super(message); Object.assign(this, { name: 'MongoServerError', code, codeName }); }
}

// 64-bit numbers reach a script of mongosh as objects, so that "lockCount === 1" is never true: mongosh does not promote longs.
const long = n => ({ low: n, high: 0, unsigned: false });

class Connection {
  authenticated = false;
  constructor() { if (!fs.existsSync(STATE) || !alive(read().pid)) throw Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:27017'), { name: 'MongoNetworkError' }); }
  users() { return fs.readFileSync(DATA + '/admin/system.users', 'utf8').split('\n').filter(Boolean).map(l => JSON.parse(l)); }
  login(user, password) {
    // A locked server may not let anybody log in, so that whoever locked it must keep its connection: SERVER-1423, DOCS-3681.
    while (fs.existsSync(MEMORY + '/no-login-while-locked') && read().lockCount > 0) nap(20);
    if (!this.users().some(u => u.user === user && u.password === password)) throw new ServerError('Authentication failed.', 18, 'AuthenticationFailed');
    this.authenticated = true;
  }
  // As src/mongo/db/commands/fsync.cpp and current_op.cpp of the server.
  run(command) {
    const name = Object.keys(command)[0];
    if (this.users().length > 0 && !this.authenticated && name !== 'ping') throw new ServerError(`Command ${name} requires authentication`, 13, 'Unauthorized');
    switch (name) {
      case 'ping': return { ok: 1 };
      case 'currentOp': return { inprog: [], ...(read().lockCount > 0 ? { fsyncLock: true, info: 'use db.fsyncUnlock() to terminate the fsync write/snapshot lock' } : {}), ok: 1 };
      case 'fsync': {
        if (command.lock !== true) return { numFiles: 1, ok: 1 };
        const lockCount = inside(state => { log(`lock ${++state.lockCount}`); return state.lockCount; });
        return { info: 'now locked against writes, use db.fsyncUnlock() to unlock', lockCount: long(lockCount), seeAlso: 'http://dochub.mongodb.org/core/fsynccommand', ok: 1 };
      }
      case 'fsyncUnlock': {
        const lockCount = inside(state => { if (state.lockCount === 0) return -1; log(`unlock ${--state.lockCount}`); return state.lockCount; });
        if (lockCount < 0) throw new ServerError('fsyncUnlock called when not locked', 20, 'IllegalOperation');
        return { info: 'fsyncUnlock completed', lockCount: long(lockCount), ok: 1 };
      }
      case 'listDatabases': return { databases: databases().map(name => ({ name })), ok: 1 };
      default: throw new ServerError(`no such command: '${name}'`, 59, 'CommandNotFound');
    }
  }
}

// What the handle of another database does, over the same connection.
const sibling = (connection, name) => ({
  getName: () => name,
  getCollectionNames: () => { connection.run({ listDatabases: 1 }); return fs.existsSync(`${DATA}/${name}`) ? fs.readdirSync(`${DATA}/${name}`).sort() : []; },
  dropDatabase: () => { connection.run({ listDatabases: 1 }); fs.rmSync(`${DATA}/${name}`, { recursive: true, force: true }); return { ok: 1, dropped: name }; },
});

const databases = () => fs.readdirSync(DATA, { withFileTypes: true }).filter(d => d.isDirectory()).map(d => d.name).sort();

// ---- the shells

// Their own options and the one address; an option that is not theirs ends them.
function shellOptions(known, unknown) {
  const found = { address: null, eval: [] };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === '--eval') found.eval.push(args[++i]);
    else if (known[arg] === 0) found[arg] = true;
    else if (known[arg] === 1) found[arg] = args[++i];
    else if (arg.startsWith('-')) die(1, unknown(arg));
    else if (found.address === null) found.address = arg;
    else die(1, `unexpected file ${arg}`);
  }
  if (found.address !== '127.0.0.1:27017/admin') die(1, `the stand-in has no server at ${found.address}`);
  return found;
}

function evaluate(scripts, globals, show) {
  const context = vm.createContext(globals);
  let last;
  for (const script of scripts) last = vm.runInContext(script, context);
  // Both shells print what the last statement yields.
  if (last !== undefined) fs.writeSync(1, show(last) + '\n');
}

const helpers = {
  print: (...what) => { fs.writeSync(1, what.join(' ') + '\n'); }, quit: code => process.exit(code ?? 0), sleep: ms => { nap(ms); },
};

// packages/shell-api/src/database.ts of mongodb-js/mongosh: a command that fails throws, and currentOp() is an aggregation, whose answer has no fsyncLock.
function mongosh() {
  const options = shellOptions({ '--quiet': 0, '--norc': 0, '--nodb': 0 }, arg => `Error parsing command line: unrecognized option: ${arg}`);
  try {
    const connection = new Connection(), run = command => connection.run(typeof command === 'string' ? { [command]: 1 } : command);
    const db = {
      getName: () => 'admin', runCommand: run, adminCommand: run, fsyncLock: () => run({ fsync: 1, lock: true }), fsyncUnlock: () => run({ fsyncUnlock: 1 }),
      currentOp: () => { run({ currentOp: 1 }); return { inprog: [], ok: 1 }; }, getSiblingDB: name => sibling(connection, name),
      auth: (user, password) => {
        if (!user || !password) throw Object.assign(new Error("[COMMON-10001] auth expects user document with at least 'user' and 'pwd' or 'mechanism' fields"), { name: 'MongoshInvalidInputError' });
        connection.login(user, password);
        return { ok: 1 };
      },
    };
    evaluate(options.eval, { db, process, require, ...helpers }, JSON.stringify);
  } catch (e) {
    // packages/cli-repl/src/run.ts: name and message on standard error, exit code 1.
    die(1, `${e.name}: ${e.message}`);
  }
}

// The shell of the server's own source before 5.0 (src/mongo/shell): a command that fails answers { ok: 0 }; it knows no process, no require; ls() throws
// where there is no folder; a password is asked for on standard input (util/password.cpp), and only a wrong one ends the shell.
function mongo() {
  const options = shellOptions({ '--quiet': 0, '--norc': 0, '--password': 0, '--username': 1, '--authenticationDatabase': 1 }, arg => `Error parsing command line: unrecognised option '${arg}'`);
  let connection;
  try {
    connection = new Connection();
    if (options['--password']) {
      fs.writeSync(2, 'Enter password: \n');
      if (options['--authenticationDatabase'] !== 'admin') throw new ServerError('Authentication failed.');
      connection.login(options['--username'], fs.readFileSync(0, 'utf8').split('\n')[0]);
    }
  } catch (e) {
    die(1, e.name === 'MongoNetworkError' ? "Error: couldn't connect to server 127.0.0.1:27017, connection attempt failed: SocketException: Error connecting to 127.0.0.1:27017 :: caused by :: Connection refused :" : `Error: ${e.message} :`,
      'connect@src/mongo/shell/mongo.js:374:17', '@(connect):2:6', 'exception: connect failed', 'exiting with code 1');
  }
  const run = command => { try { return connection.run(command); } catch (e) { return { ok: 0, errmsg: e.message, code: e.code, codeName: e.codeName }; } };
  const db = { getName: () => 'admin', runCommand: run, adminCommand: run, fsyncLock: () => run({ fsync: 1, lock: true }), fsyncUnlock: () => run({ fsyncUnlock: 1 }), currentOp: () => run({ currentOp: 1 }), getSiblingDB: name => sibling(connection, name) };
  const ls = folder => { if (!fs.existsSync(folder)) throw new Error(`listFiles: no such directory: ${folder}`); return fs.readdirSync(folder).map(name => `${folder}/${name}`); };
  try {
    evaluate(options.eval, { db, ls, ...helpers }, what => JSON.stringify(what, null, '\t'));
  } catch (e) {
    fs.writeSync(1, `uncaught exception: ${e.name}: ${e.message} :\n`);
    process.exit(252);
  }
}

// ---- the tools: options as their go-flags reads them, the configuration as UnmarshalStrict reads it, common/archive of mongodb/mongo-tools

function toolOptions(flags, valued) {
  const wrong = why => die(1, `error parsing command line options: ${why}`, `try '${program} --help' for more information`);
  const found = {};
  for (let i = 0; i < args.length; i++) {
    const [name, value] = args[i].startsWith('--') ? args[i].slice(2).split(/=(.*)/s) : [null, args[i]];
    if (name === null) wrong('error parsing positional arguments: provide only one MongoDB connection string. Connection strings must begin with mongodb:// or mongodb+srv:// schemes');
    // --archive takes a path only behind "=": alone it is standard output or input.
    else if (name === 'archive') found.archive = value ?? '-';
    else if (flags.includes(name)) found[name] = true;
    else if (valued.includes(name)) { found[name] = value ?? args[++i]; if (found[name] === undefined) wrong(`expected argument for flag \`--${name}'`); }
    else wrong(`unknown flag \`${name}'`);
  }
  if (found.help) { fs.writeSync(1, '      --config=    path to a configuration file\n'); process.exit(0); }
  if (found.archive !== '-') die(1, 'the stand-in does archives on standard output and input only');
  if (found.config) {
    for (const line of fs.readFileSync(found.config, 'utf8').split('\n').filter(Boolean)) {
      const pair = /^(password|uri|sslPEMKeyPassword): '((?:[^']|'')*)'$/.exec(line);
      if (!pair) wrong(`error parsing config file ${found.config}: yaml: unmarshal errors`);
      found[pair[1]] = pair[2].replace(/''/g, "'");
    }
  }
  return found;
}

function connect(options) {
  try {
    const connection = new Connection();
    if (options.username) {
      if (options.authenticationDatabase !== 'admin') throw new ServerError('Authentication failed.');
      connection.login(options.username, options.password ?? '');
    }
    connection.run({ listDatabases: 1 });
  } catch (e) {
    die(1, e.code === 13 ? `Failed: error getting database names: (Unauthorized) ${e.message}`
      : `Failed: can't create session: failed to connect to mongodb://localhost/: connection() error occurred during connection handshake: ${e.code === 18 ? `auth error: sasl conversation error: unable to authenticate using mechanism "SCRAM-SHA-256": (AuthenticationFailed) ${e.message}` : `dial tcp 127.0.0.1:27017: connect: connection refused`}`);
  }
}

const TERMINATOR = Buffer.from([255, 255, 255, 255]), MAGIC = Buffer.from([0x6d, 0xe2, 0x99, 0x81]);

// A BSON document of strings, booleans and 64-bit zeros.
function bson(fields) {
  const parts = Object.entries(fields).map(([name, value]) => {
    const key = Buffer.from(name + '\0');
    if (typeof value === 'boolean') return Buffer.concat([Buffer.from([8]), key, Buffer.from([+value])]);
    if (typeof value === 'number') return Buffer.concat([Buffer.from([18]), key, Buffer.alloc(8)]);
    const text = Buffer.from(value + '\0'), size = Buffer.alloc(4);
    size.writeInt32LE(text.length);
    return Buffer.concat([Buffer.from([2]), key, size, text]);
  });
  const body = Buffer.concat([...parts, Buffer.from([0])]), size = Buffer.alloc(4);
  size.writeInt32LE(body.length + 4);
  return Buffer.concat([size, body]);
}

function unbson(document) {
  const fields = {};
  for (let at = 4; document[at] !== 0;) {
    const type = document[at], end = document.indexOf(0, at + 1), name = document.toString('utf8', at + 1, end);
    at = end + 1;
    if (type === 2) { const size = document.readInt32LE(at); fields[name] = document.toString('utf8', at + 4, at + 3 + size); at += 4 + size; }
    else if (type === 8) fields[name] = document[at++] === 1;
    else if (type === 18) { fields[name] = 0; at += 8; }
    else throw new Error(`BSON type ${type}`);
  }
  return fields;
}

function mongodump() {
  const options = toolOptions(['quiet', 'help'], ['db', 'username', 'authenticationDatabase', 'config', 'port']);
  connect(options);
  const chosen = databases().filter(d => options.db ? d === options.db : d !== 'local');
  const all = chosen.flatMap(db => fs.readdirSync(`${DATA}/${db}`).map(collection => ({ db, collection })));
  const out = what => fs.writeSync(1, what);
  out(MAGIC);
  out(bson({ concurrent_collections: '4', version: '0.1', server_version: '7.0.0', tool_version: '100.9.4' }));
  for (const c of all) out(bson({ ...c, metadata: '{}' }));
  out(TERMINATOR);
  for (const c of all) {
    // Asked by a test: the connection to the server breaks in the midst.
    if (fs.existsSync(MEMORY + '/break-dump')) die(1, `Failed: error writing data for collection \`${c.db}.${c.collection}\` to disk: error reading collection: connection(localhost:27017[-5]) socket was unexpectedly closed: EOF`);
    out(bson({ ...c, EOF: false, CRC: 0 }));
    for (const line of inside(() => fs.readFileSync(`${DATA}/${c.db}/${c.collection}`, 'utf8')).split('\n').filter(Boolean)) out(bson({ json: line }));
    out(TERMINATOR);
    out(bson({ ...c, EOF: true, CRC: 0 }));
    out(TERMINATOR);
  }
}

function mongorestore() {
  const options = toolOptions(['quiet', 'help', 'drop', 'stopOnError'], ['username', 'authenticationDatabase', 'config', 'port']);
  connect(options);
  const archive = fs.readFileSync(0);
  if (!archive.subarray(0, 4).equals(MAGIC)) die(1, 'Failed: stream or file does not appear to be a mongodump archive', '0 document(s) restored successfully. 0 document(s) failed to restore.');
  let at = 4, open = null;
  const next = () => {
    if (at + 4 > archive.length) die(1, 'Failed: corruption found in archive; unexpected EOF');
    if (archive.subarray(at, at + 4).equals(TERMINATOR)) { at += 4; return null; }
    const size = archive.readInt32LE(at), document = unbson(archive.subarray(at, at + size));
    at += size;
    return document;
  };
  const file = c => `${DATA}/${c.db}/${c.collection}`;
  for (let c; (c = next()) !== null;) {
    if (!c.metadata) continue;
    fs.mkdirSync(path.dirname(file(c)), { recursive: true });
    if (options.drop) fs.writeFileSync(file(c), '');
  }
  while (at < archive.length) {
    open = next();
    for (let document; (document = next()) !== null;) fs.appendFileSync(file(open), document.json + '\n');
  }
  if (open && !open.EOF) die(1, 'Failed: corruption found in archive; a collection has no end');
}

const programs = { mongod: serve, mongosh, mongo, mongodump, mongorestore };
if (program !== 'mongod') log(`argv ${JSON.stringify([program, ...args])}`);
programs[program]();
