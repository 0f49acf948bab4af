// Shows what /state tells, and sends what the buttons mean. All text goes in as text, never as markup.
'use strict';

const BASE = '/api/kafka-example';
const ASK_MS = 500;
const SLOW_MS = 2000;
const PASSWORD = 'correct horse battery';
const NAMES = ['Ada', 'Emmy', 'Sofja', 'Hypatia', 'Maryam', 'Katherine'];

const one = (selector, within = document) => within.querySelector(selector);
const copy = (id) => one(`#${id}`).content.firstElementChild.cloneNode(true);
const uuid = () => (crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}`.replace('.', ''));

let visitor = null;
let known = new Set();
let first = true;

// ---- the application's own API ----

async function ask(path, { body, token, key } = {}) {
  const headers = {};
  if (body) headers['Content-Type'] = 'application/json';
  if (token) headers.Authorization = `Bearer ${token}`;
  if (key) headers['Idempotency-Key'] = key;
  const answer = await fetch(path, { method: body ? 'POST' : 'GET', headers, body: body && JSON.stringify(body) });
  return { status: answer.status, body: await answer.json() };
}

function someone() {
  const name = NAMES[Math.floor(Math.random() * NAMES.length)];
  return { name, email: `${name.toLowerCase()}.${uuid().slice(0, 8)}@example.com`, password: PASSWORD };
}

const because = (answer) => `${answer.status}: ${answer.body.title}: ${answer.body.detail}.`;

async function register() {
  const asked = someone();
  const made = await ask('/api/auth/register', { body: asked });
  if (made.status !== 201) return say(because(made), 'bad');
  const login = await ask('/api/auth/login', { body: { email: asked.email, password: PASSWORD } });
  if (login.status !== 200) return say(because(login), 'bad');
  visitor = { ...made.body, token: login.body.accessToken };
  one('#visitor').textContent = `You act for ${visitor.name}, ${visitor.email}.`;
  allow();
  return say(`${visitor.name} is registered: account, mail, event, count and record in one transaction.`, 'good');
}

function purchase(method, key = uuid()) {
  const body = { courseId: one('#course').value, paymentMethod: method };
  return ask('/api/courses/purchase', { body, token: visitor.token, key });
}

const course = () => one('#course').selectedOptions[0].textContent.replace(/,.*/, '');

async function buy() {
  const bought = await purchase('card_ok');
  if (bought.status !== 201) return say(because(bought), 'bad');
  return say(`${visitor.name} has ${course()}, for ${bought.body.price.amount} ${bought.body.price.currency}.`, 'good');
}

async function twice() {
  const key = uuid();
  const [left, right] = await Promise.all([purchase('card_ok', key), purchase('card_ok', key)]);
  if (left.status !== 201) return say(because(left), 'bad');
  const same = left.body.paymentId === right.body.paymentId;
  return say(`Two requests at once, ${same ? 'one payment and the same answer' : 'TWO PAYMENTS'}.`, same ? 'good' : 'bad');
}

async function decline() {
  const declined = await purchase('card_declined');
  const said = declined.status === 402 ? ' No payment, no seat, no message.' : '';
  return say(because(declined) + said, declined.status === 402 ? 'good' : 'bad');
}

async function rollback() {
  const failed = await ask(`${BASE}/rollback`, { body: someone() });
  if (failed.status !== 200) return say(because(failed), 'bad');
  const ids = failed.body.messages;
  return say(`A user and ${ids.length} messages were written, then rolled back: nobody will hear of ${ids[0].slice(-8)} `
    + 'and its like.', 'good');
}

async function portrait() {
  const sent = await ask(`${BASE}/portrait`, { body: {}, token: visitor.token });
  if (sent.status !== 201) return say(because(sent), 'bad');
  return say(`A portrait of 1.6 MB is announced, more than Kafka takes. Buy something: ${visitor.name}’s events wait `
    + 'behind it, the mails do not.', 'good');
}

async function settle(act, message) {
  const done = await ask(`${BASE}/${act}`, { body: { ids: [message.id] } });
  if (done.status !== 200) return say(because(done), 'bad');
  return say(`${message.type} is ${act === 'replay' ? 'sent again' : 'discarded, what waited behind it goes on'}.`, 'good');
}

// ---- what is shown ----

const clock = (text) => new Date(text).toLocaleTimeString([], { hour12: false }) + '.'
  + String(new Date(text).getMilliseconds()).padStart(3, '0');

function after(from, to) {
  const ms = new Date(to) - new Date(from);
  if (ms < 0) return 'at once';
  return ms < 10000 ? `+${ms} ms` : `+${(ms / 1000).toFixed(1)} s`;
}

function say(text, mood) {
  const item = document.createElement('li');
  const time = document.createElement('time');
  const words = document.createElement('span');
  time.textContent = new Date().toLocaleTimeString([], { hour12: false });
  words.textContent = text;
  words.className = mood;
  item.append(time, words);
  one('#said').prepend(item);
  while (one('#said').children.length > 20) one('#said').lastElementChild.remove();
}

function state(name) {
  const made = document.createElement('span');
  made.className = 'state';
  made.dataset.state = made.textContent = name;
  return made;
}

function chip(handled, message) {
  const made = copy('chip');
  made.dataset.outcome = handled.outcome;
  one('b', made).textContent = handled.consumer;
  const done = handled.outcome === 'handled' ? after(message.created_at, handled.handled_at)
    : `${handled.outcome}, attempt ${handled.attempts}`;
  one('span', made).textContent = `${done} · p${handled.partition} @${handled.offset}`;
  made.title = `${handled.topic}, partition ${handled.partition}, offset ${handled.offset}`
    + (handled.error ? `: ${handled.error}` : '');
  return made;
}

function row(message) {
  const made = copy('row');
  if (!first && !known.has(message.id)) made.className = 'fresh';
  one('.what b', made).textContent = message.type || '(no type)';
  one('.what span', made).textContent = `${message.topic} · key ${message.key === null ? 'none' : message.key}`;
  one('.time', made).textContent = clock(message.created_at);
  const sent = one('.sent', made);
  if (message.sent_at) {
    const late = document.createElement('small');
    late.textContent = after(message.created_at, message.sent_at);
    sent.append(clock(message.sent_at), late);
  } else {
    sent.append(state(message.state));
  }
  const handled = one('.handled', made);
  if (message.handled.length) handled.append(...message.handled.map((each) => chip(each, message)));
  else {
    // Real-time servers hand it to who is connected, and keep no inbox.
    const reader = message.topic === 'realtime-events' ? 'real-time servers' : 'nobody yet';
    handled.textContent = message.sent_at ? reader : '–';
    handled.classList.add('none');
  }
  return made;
}

function showMessages(messages) {
  const groups = new Map();
  for (const message of messages) {
    if (!groups.has(message.xid)) groups.set(message.xid, []);
    groups.get(message.xid).push(message);
  }
  const bodies = [...groups].map(([xid, members]) => {
    const body = copy('group');
    one('b', body).textContent = `Transaction ${xid}`;
    one('.group span', body).textContent = members.length === 1 ? '1 message' : `${members.length} messages`;
    body.append(...members.reverse().map(row));
    return body;
  });
  for (const body of document.querySelectorAll('tbody')) body.remove();
  one('table').append(...bodies);
  one('#empty').hidden = messages.length > 0;
  const fresh = messages.filter((each) => !known.has(each.id)).length;
  if (!first && fresh) one('#live').textContent = `${fresh} new ${fresh === 1 ? 'message' : 'messages'}`;
  known = new Set(messages.map((each) => each.id));
  first = false;
}

function heldRow(message) {
  const made = copy('held-row');
  one('.what b', made).textContent = message.type || message.topic;
  one('.state', made).replaceWith(state(message.state));
  one('.why', made).textContent = message.error
    ? `${message.error} · attempt ${message.attempts} · key ${message.key}` : `waits for its turn · key ${message.key}`;
  for (const act of ['replay', 'discard']) {
    const button = one(`.${act}`, made);
    button.hidden = act === 'replay' && !message.error;
    button.setAttribute('aria-label', `${act} ${message.type}, ${message.state}`);
    button.dataset.of = `${act} ${message.id}`;
    button.addEventListener('click', () => busy(button, () => settle(act, message)));
  }
  return made;
}

function showHeld(held) {
  const focused = document.activeElement && document.activeElement.dataset.of;
  one('#held-section').hidden = held.length === 0;
  one('#held-count').textContent = held.length;
  one('#held').replaceChildren(...held.map(heldRow));
  const again = focused && [...document.querySelectorAll('#held button')].find((each) => each.dataset.of === focused);
  if (again) again.focus();
  else if (focused) one('#messages').focus({ preventScroll: true });
}

function show(seen) {
  for (const name of ['users', 'payments', 'enrolments']) one(`#${name}`).textContent = seen.counts[name];
  showHeld(seen.held);
  showMessages(seen.messages);
}

function link(name, words) {
  const shown = one('#link');
  if (shown.dataset.state === name) return;
  shown.dataset.state = name;
  one('span', shown).textContent = words;
}

// ---- keeping up ----

async function follow() {
  let tag = '';
  for (;;) {
    let pause = document.hidden ? SLOW_MS : ASK_MS;
    try {
      const answer = await fetch(`${BASE}/state`, { headers: tag ? { 'If-None-Match': tag } : {}, cache: 'no-store' });
      if (answer.status === 200) {
        tag = answer.headers.get('ETag') || '';
        show(await answer.json());
      } else if (answer.status !== 304) {
        throw new Error(answer.statusText);
      }
      link('live', 'Live');
    } catch {
      link('lost', 'The server does not answer; trying again');
      pause = SLOW_MS;
    }
    await new Promise((wake) => { setTimeout(wake, pause); });
  }
}

async function busy(button, act) {
  if (button.getAttribute('aria-busy') === 'true') return;
  button.setAttribute('aria-busy', 'true');
  try {
    await act();
  } catch {
    say('The server does not answer.', 'bad');
  } finally {
    button.removeAttribute('aria-busy');
  }
}

function allow() {
  for (const name of ['buy', 'twice', 'decline', 'portrait']) {
    one(`#${name}`).disabled = visitor === null || one('#course').value === '';
  }
}

async function begin() {
  const acts = { register, buy, twice, decline, rollback, portrait };
  for (const [name, act] of Object.entries(acts)) {
    const button = one(`#${name}`);
    button.addEventListener('click', () => busy(button, act));
  }
  follow();
  const courses = await ask('/api/courses');
  one('#course').replaceChildren(...courses.body.map((each) => new Option(
    `${each.name}, ${each.price.amount} ${each.price.currency}`, each.courseId)));
  allow();
}

begin().catch(() => say('The courses cannot be read; reload the page.', 'bad'));
