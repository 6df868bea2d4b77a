// Refreshes the page's live parts while somebody looks at them, and leaves alone the one they work in: every five
// seconds, or as many such turns apart as the part says.
const EVERY_MS = 5000;
let turn = 0;
setInterval(() => {
  turn += 1;
  for (const live of document.querySelectorAll("[data-live]")) {
    if (turn % (Number(live.dataset.live) || 1) || document.hidden || live.contains(document.activeElement)) continue;
    htmx.trigger(live, "refresh");
  }
}, EVERY_MS);
// A part of the page is never put in place by an answer that holds no such part, as a failure or the way to sign in: it
// stays as it is, and a line says so.
const LATE = "This page could not be brought up to date just now, so it may show what is over. It is tried again by itself.";
const UNANSWERED = "This was not answered. What you typed is still here: try it again.";
const OVER = "Your session is over. What you typed is still here: ";
function say(text, signIn) {
  const main = document.getElementById("content");
  const line = document.getElementById("late") ?? main.insertBefore(document.createElement("p"), main.firstChild);
  Object.assign(line, { id: "late", className: "notice late", textContent: text });
  line.setAttribute("role", "status");
  if (!signIn) return;
  const link = Object.assign(document.createElement("a"), { href: signIn, target: "_blank", textContent: "sign in beside it, and go on." });
  line.append(link);
}
document.addEventListener("htmx:after:request", (event) => {
  const { response, text, select, sourceElement } = event.detail.ctx;
  const part = response.status === 304 || !select || new DOMParser().parseFromString(text, "text/html").querySelector(select);
  if (part) {
    document.getElementById("late")?.remove();
    return;
  }
  event.preventDefault();
  const over = response.raw.redirected && new URL(response.raw.url).pathname.endsWith("/sign-in");
  if ("live" in sourceElement.dataset) say(LATE);
  else say(over ? OVER : UNANSWERED, over && response.raw.url);
});
document.addEventListener("htmx:error", (event) => {
  const asked = event.detail.ctx?.sourceElement;
  if (asked) say("live" in asked.dataset ? LATE : UNANSWERED);
});
// Copies a field's text. Without scripts the button is not seen, and the field is there to be marked.
for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
    button.textContent = "Copied";
  });
}
// Times, amounts and counts in the reader's own notation; what the page says without scripts is right as well.
const CLOCK = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" };
function localise() {
  for (const own of document.querySelectorAll("time[data-zone], data.money, td.number, .figures dd:not(.quiet)")) {
    if (own.dataset.said) continue;
    own.dataset.said = "yes";
    try {
      if (own.dataset.zone) {
        own.textContent = new Intl.DateTimeFormat(navigator.language, { ...CLOCK, timeZone: own.dataset.zone }).format(new Date(own.dateTime));
      } else if (own.dataset.currency) {
        const digits = (own.value.split(".")[1] ?? "").length;
        const money = { style: "currency", currency: own.dataset.currency, minimumFractionDigits: digits, maximumFractionDigits: digits };
        own.textContent = new Intl.NumberFormat(navigator.language, money).format(own.value);
      } else if (/^\d{4,15}$/.test(own.textContent.trim())) {
        own.textContent = new Intl.NumberFormat(navigator.language).format(own.textContent.trim());
      }
    } catch {
      continue; // a zone or currency that this browser does not know
    }
  }
}
localise();
new MutationObserver(localise).observe(document.body, { childList: true, subtree: true });
