// SPDX-License-Identifier: LGPL-2.1-or-later
// The owner's page: the same requests as cvmspawn owner(1) makes. Everything that comes from the service is put in as text, never as markup;
// the policy of the page refuses anything else. The token is in this script's memory only.
"use strict";

const $ = (id) => document.getElementById(id);
const WARN_DAYS = 30;
let token = "";
let session = 0; // answers to requests of an earlier one are dropped

class Refused extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

async function ask(method, path) {
    const headers = token ? { Authorization: "Bearer " + token } : {};
    const answer = await fetch(".." + path, { method, headers, credentials: token ? "omit" : "same-origin", cache: "no-store" });
    const body = answer.status === 204 ? null : await answer.json();
    if (!answer.ok)
        throw new Refused(answer.status, body && body.detail ? body.detail : "status " + answer.status);
    return body;
}

function element(name, text, tone) {
    const e = document.createElement(name);
    if (text !== undefined)
        e.textContent = text;
    if (tone)
        e.className = tone;
    return e;
}

function list(rows) {
    const dl = element("dl");
    for (const [name, value, tone] of rows)
        if (value !== undefined && value !== "")
            dl.append(element("dt", name), element("dd", String(value), tone));
    return dl;
}

function card(title, rows) {
    const a = element("article");
    a.append(element("h3", title), list(rows));
    return a;
}

const when = (seconds) => new Date(seconds * 1000).toLocaleString();
const plain = (v) => v === undefined ? undefined : typeof v === "string" ? v : JSON.stringify(v);

function fill(id, cards, none) {
    $(id).replaceChildren(...(cards.length ? cards : [element("p", none, "about")]));
}

function say(text, tone) {
    $("status").textContent = text;
    $("status").className = tone || "";
}

// Whether the owner means it; Cancel has the focus, Escape is the same.
function sure(text, word) {
    return new Promise((resolve) => {
        let yes = false;
        $("ask-text").textContent = text;
        $("ask-yes").textContent = word;
        $("ask-yes").onclick = () => { yes = true; $("ask").close(); };
        $("ask-no").onclick = () => $("ask").close();
        $("ask").onclose = () => resolve(yes);
        $("ask").showModal();
    });
}

async function decide(vm, launch, confirms) {
    const question = confirms ? "Release the secrets of '" + vm + "' to launch " + launch + "?" : "Reject launch " + launch + " of '" + vm + "'? It cannot get the secrets then.";
    if (!await sure(question, confirms ? "Confirm" : "Reject"))
        return;
    const path = "/vm/" + vm + "/launches/" + launch;
    try {
        await (confirms ? ask("POST", path + "/confirm") : ask("DELETE", path));
        say((confirms ? "Confirmed: launch " : "Rejected: launch ") + launch, "good");
    } catch (e) {
        failed(e);
    }
    await refresh(false);
}

function button(word, id, action) {
    const b = element("button", word);
    b.type = "button";
    b.id = id;
    b.addEventListener("click", action);
    return b;
}

function waitingCard(vm, launch) {
    const r = vm.registration;
    const c = card(vm.id, [["Launch", launch["launch-id"]], ["Began", when(launch.created)], ["Scheme", r.scheme], ["Kind", r.kind],
        ["Policy", "0x" + r.policy.toString(16)], ["Released", vm["launches-released"] + ", limit " + (r["max-instances"] ?? 1) + " in instance-window"],
        ["Wrong evidence", launch.failures], ["Description", plain(r.description)]]);
    const label = (b) => { b.setAttribute("aria-label", b.textContent + " launch " + launch["launch-id"] + " of " + vm.id); return b; };
    c.append(label(button("Confirm", "confirm-" + launch["launch-id"], () => decide(vm.id, launch["launch-id"], true))),
        label(button("Reject", "reject-" + launch["launch-id"], () => decide(vm.id, launch["launch-id"], false))));
    return c;
}

function registrationCard(vm) {
    const r = vm.registration;
    const c = card(vm.id, [["Scheme", r.scheme], ["Kind", r.kind], ["Registered", when(vm.created)],
        ["Launches", vm["launches-open"] + " open, " + vm["launches-held"] + " waiting, " + vm["launches-released"] + " released"],
        ["Description", plain(r.description)]]);
    const d = element("details");
    d.append(element("summary", "Registration"), element("pre", JSON.stringify(r, null, 2)));
    c.append(d);
    return c;
}

function certificateCard(c) {
    const days = Math.floor((c.expires * 1000 - Date.now()) / 86400000);
    const updated = ["revocation-list", "tcb-info", "qe-identity"].includes(c.use); // within weeks, as a rule
    const tone = days < 0 ? "bad" : days < WARN_DAYS && !updated ? "warning" : "good";
    const said = days < 0 ? "EXPIRED " : updated ? "next update " : "expires ";
    return card(c.name, [["Use", c.use], ["Date", said + when(c.expires) + (days < 0 ? "" : ", in " + days + " days"), tone]]);
}

async function refresh(says) {
    const mine = session, focused = document.activeElement ? document.activeElement.id : "";
    const [vms, refusals, certificates] = await Promise.all([ask("GET", "/vm"), ask("GET", "/refusals"), ask("GET", "/certificates")]);
    const held = [];
    for (const vm of vms)
        if (vm["launches-held"] > 0)
            for (const l of await ask("GET", "/vm/" + vm.id + "/launches"))
                if (l.state === "held")
                    held.push(waitingCard(vm, l));
    if (mine !== session)
        return;
    fill("waiting", held, "None.");
    fill("refusals", refusals.map((f) => card(f.vm, [["When", when(f.time)], ["Request", f.request], ["Code", f.code, "bad"], ["Reason", f.detail]])), "None.");
    fill("registrations", vms.map(registrationCard), "None.");
    fill("certificates", certificates.map(certificateCard), "None that has a date.");
    $("waiting-title").textContent = "Launches waiting for confirmation (" + held.length + ")";
    $("sign-in").hidden = true;
    $("main").hidden = false;
    if (says)
        say("As of " + new Date().toLocaleTimeString());
    ((focused && $(focused)) || $("refresh")).focus();
}

// Nothing of the owner's stays in the page.
function forget() {
    token = "";
    session++;
    $("token").value = "";
    for (const id of ["waiting", "refusals", "registrations", "certificates"])
        $(id).replaceChildren();
    $("ask").close();
    $("ask-text").textContent = "";
    $("main").hidden = true;
    $("sign-in").hidden = false;
    $("token").focus();
}

function failed(e) {
    if (e instanceof Refused && e.status === 401)
        forget();
    say(e instanceof Refused ? e.message : "The service cannot be reached: " + e.message, "bad");
}

$("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    token = $("token").value.trim();
    $("token").value = "";
    refresh(true).catch(failed);
});
$("refresh").addEventListener("click", () => refresh(true).catch(failed));
$("sign-out").addEventListener("click", () => { forget(); say("The token is forgotten."); });
