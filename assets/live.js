// Keeps pages up to date, and shows local times. Pages work without scripts too.
"use strict";
(() => {
  const root = document.documentElement;
  // The clock of the host, not that of the browser.
  const ahead = Date.now() / 1000 - Number(root.dataset.now);
  const now = () => Date.now() / 1000 - ahead;
  const two = (n) => String(n).padStart(2, "0");
  const day = (d) => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  const minute = (d) => `${two(d.getHours())}:${two(d.getMinutes())}`;

  // The same format as on the server.
  const took = (secs) => {
    let n = Math.max(0, Math.floor(secs));
    if (n >= 86400) n -= n % 60;
    const parts = [[Math.floor(n / 86400), "d"], [Math.floor(n / 3600) % 24, "h"], [Math.floor(n / 60) % 60, "m"], [n % 60, "s"]];
    return parts.filter(([n]) => n).map(([n, unit]) => n + unit).join("") || "0s";
  };

  const localise = (within) => {
    const today = new Date(now() * 1000);
    for (const time of within.querySelectorAll("time")) {
      const at = new Date(time.dateTime);
      if (isNaN(at)) continue;
      const date = day(at);
      const seconds = `${minute(at)}:${two(at.getSeconds())}`;
      const year = at.getFullYear() === today.getFullYear() ? 5 : 0;
      time.textContent = date === day(today) ? seconds : `${date.slice(year)} ${minute(at)}`;
      time.title = `${date} ${seconds} (${time.dateTime})`;
    }
    for (const text of within.querySelectorAll("text[data-t]")) {
      const at = new Date(text.dataset.t * 1000);
      text.textContent = minute(at) === "00:00" ? day(at).slice(5) : minute(at);
    }
  };

  const tick = (within) => {
    for (const age of within.querySelectorAll("[data-since]")) {
      const secs = now() - age.dataset.since;
      const text = took(secs);
      if (age.textContent !== text) age.textContent = text;
      const meter = age.parentNode.previousElementSibling;
      if (meter instanceof HTMLMeterElement) meter.value = secs;
    }
  };

  // Changes one tree into the other, touching only differences: focus, selection and scroll positions are kept.
  const morph = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (!old.attributes) return void (old.nodeValue = fresh.nodeValue);
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const key = (node) => node.dataset && node.dataset.key;
    const known = new Map([...old.children].filter(key).map((child) => [key(child), child]));
    const kept = new Set([...fresh.children].map(key));
    // Moved elements lose the focus, so removed ones are deleted first.
    for (const [name, child] of known) if (!kept.has(name)) child.remove();
    let place = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      let match = known.get(key(child));
      if (!match && place && !key(child) && !key(place) && place.nodeName === child.nodeName) match = place;
      if (!match) {
        old.insertBefore(child, place);
        continue;
      }
      if (match === place) place = place.nextSibling;
      else old.insertBefore(match, place);
      morph(match, child);
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  };

  const said = document.getElementById("said");
  const states = (within) => {
    const words = (row) => [row.querySelector("th a").textContent, row.querySelector("b").textContent];
    return new Map([...within.querySelectorAll("[data-key]")].map((row) => [row.dataset.key, words(row)]));
  };
  // Announces only the changes to screen readers.
  const tell = (before, after) => {
    const words = [];
    for (const [key, [name, state]] of after) if (!before.has(key) || before.get(key)[1] !== state) words.push(`${name}: ${state}`);
    for (const [key, [name]] of before) if (!after.has(key)) words.push(`${name}: ended`);
    if (words.length) said.textContent = words.slice(0, 5).join(". ");
  };

  const live = document.querySelector("[data-live]");
  const link = document.getElementById("link");
  let events = null;
  const mark = (words, why = "") => {
    link.hidden = false;
    link.className = words === "live" ? "on" : "";
    link.textContent = words;
    link.title = why;
  };
  const listen = () => {
    if (!live || events || document.hidden) return;
    events = new EventSource(`/events?only=${live.dataset.live}`);
    events.onopen = () => mark("live");
    events.onerror = () => {
      mark("not connected");
      // The browser reconnects automatically, but not after a refusal.
      if (events && events.readyState === EventSource.CLOSED) {
        events = null;
        setTimeout(listen, 5000);
      }
    };
    // The page is outdated.
    events.addEventListener("stale", (event) => mark("outdated", event.data));
    events.addEventListener(live.dataset.live, (event) => {
      mark("live");
      const fresh = live.cloneNode(false);
      fresh.innerHTML = event.data;
      localise(fresh);
      tick(fresh);
      const before = states(live);
      const focused = document.activeElement;
      morph(live, fresh);
      if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
      tell(before, states(live));
    });
  };

  // Escapes and colours a log, as the server does.
  const colours = { 90: "c0", 31: "c1", 32: "c2", 33: "c3", 34: "c4", 35: "c5", 36: "c6" };
  const shown = (text) =>
    text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "")
      .replace(/[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
  const line = (text) => {
    const whole = document.createDocumentFragment();
    let bold = "";
    let colour = "";
    const bare = text.replace(/\r+$/, "").replace(/^[^]*\r/, "").replace(/\x1b\][^\x07\x1b]*(\x07|\x1b\\)/g, "");
    bare.split("\x1b").forEach((piece, index) => {
      const found = index && /^\[([0-9;:?<=>]*)[ -/]*([@-~])/.exec(piece);
      if (found && found[2] === "m") {
        const numbers = found[1].split(/[;:]/).map(Number);
        for (let i = 0; i < numbers.length; i++) {
          const n = numbers[i];
          if (n === 0) bold = colour = "";
          else if (n === 1) bold = "cb";
          else if (n === 22) bold = "";
          else if (n === 38 || n === 48 || n === 58) i += numbers[i + 1] === 5 ? 2 : 4;
          else if (colours[n] || colours[n - 60]) colour = colours[n] || colours[n - 60];
          else if (n === 30 || n === 37 || n === 39 || n === 97) colour = "";
        }
      }
      const rest = shown(found ? piece.slice(found[0].length) : index ? piece.slice(1) : piece);
      if (!rest) return;
      const looks = `${colour} ${bold}`.trim();
      if (!looks) return whole.append(rest);
      const span = document.createElement("span");
      span.className = looks;
      span.textContent = rest;
      whole.append(span);
    });
    whole.append("\n");
    return whole;
  };

  // Follows a log. The page scrolls with the log only while its end is visible.
  const KEPT = 5000;
  const follow = async (pre) => {
    const state = pre.parentNode.querySelector(".state");
    const stick = () => (pre.scrollTop = pre.scrollHeight);
    for (;;) {
      try {
        const answer = await fetch(pre.dataset.stream, { headers: { Accept: "text/plain" } });
        if (!answer.ok) {
          state.textContent = answer.status === 404 ? "no log" : `not followed (${answer.status})`;
          return;
        }
        state.textContent = "following";
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let begun = false;
        let rest = "";
        // The incomplete last line is replaced as it grows.
        const last = document.createElement("span");
        const add = (lines) => {
          const end = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 40;
          const fresh = document.createDocumentFragment();
          lines.forEach((text) => fresh.append(line(text)));
          last.replaceChildren(rest && line(rest));
          fresh.append(last);
          if (begun) pre.append(fresh);
          else pre.replaceChildren(fresh);
          begun = true;
          if (end) {
            while (pre.childNodes.length > 2 * KEPT) pre.firstChild.remove();
            stick();
          }
        };
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          const lines = (rest + value).split("\n");
          rest = lines.pop().slice(-65536);
          add(lines);
        }
        state.textContent = "ended";
        return;
      } catch {
        state.textContent = "not connected";
        await new Promise((done) => setTimeout(done, 3000));
      }
    }
  };

  localise(document);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "local";
  document.getElementById("zone").textContent = `Times are local: ${zone}.`;
  for (const head of document.querySelectorAll("[data-zone]")) head.textContent = zone;
  tick(document);
  setInterval(() => document.hidden || tick(document), 1000);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && events) {
      events.close();
      events = null;
    }
    tick(document);
    listen();
  });
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    const name = event.target.elements.namedItem("name");
    const asks = button && (button.value === "kill" || (name && name.value === "all"));
    if (asks && !confirm(`${button.textContent}: are you sure?`)) event.preventDefault();
  });
  listen();
  // Logs are shown from their end.
  for (const pre of document.querySelectorAll("pre")) pre.scrollTop = pre.scrollHeight;
  document.querySelectorAll("pre[data-stream]").forEach(follow);
})();
