"""What every page must be for whoever cannot see it, or sees it on a telephone."""

import json

from playwright.sync_api import expect

from person import PAGES, SERVER, ctl, sign_in, visit, watched

UNNAMED = """() => {
  const found = [];
  for (const one of document.querySelectorAll('input, select, textarea, button, a, progress, meter')) {
    const label = one.getAttribute('aria-label') || (one.labels && one.labels.length ? one.labels[0].textContent : '') || one.textContent;
    if (!label.trim()) found.push(one.outerHTML);
  }
  const ids = Array.from(document.querySelectorAll('[id]'), (one) => one.id);
  if (new Set(ids).size !== ids.length) found.push('an id is there twice');
  for (const one of document.querySelectorAll('img:not([alt])')) found.push(one.outerHTML);
  for (const one of document.querySelectorAll('[aria-describedby]')) {
    for (const id of one.getAttribute('aria-describedby').split(' ')) if (!document.getElementById(id)) found.push(`no ${id}`);
  }
  if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
  if (document.querySelectorAll('main').length !== 1 || !document.documentElement.lang) found.push('no landmark or language');
  return found;
}"""

# Text whose contrast to its ground is below 4.5, or 3 where it is large (WCAG 2.2, 1.4.3).
PALE = """() => {
  const channels = (text) => {
    const numbers = text.match(/[\\d.]+(e-?\\d+)?/g).map(Number);
    const scale = text.startsWith('color(') ? 1 : 255;
    return [...numbers.slice(0, 3).map((value) => value / scale), numbers[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3]));
  const light = (colour) => {
    const [r, g, b] = colour.map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => (one === null ? [1, 1, 1] : over(channels(getComputedStyle(one).backgroundColor), ground(one.parentElement)));
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !one.checkVisibility() || one.closest('option, script, noscript')) continue;
    const style = getComputedStyle(one);
    const below = ground(one);
    const [high, low] = [light(over(channels(style.color), below)), light(below)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < least) found.push(`${texts.currentNode.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""


def every_control_has_a_name_text_can_be_read_and_nothing_is_wider_than_a_telephone(browser):
    for scheme in ["light", "dark"]:
        page = watched(browser, color_scheme=scheme)
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(f"{SERVER}/")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        for name in [None, *PAGES, "succeeded", "failed"]:
            if name == "runs":
                sign_in(page)
            if name in ("succeeded", "failed"):
                name = f"runs/{json.loads(ctl('run', 'list', '--status', name, '-o', 'json'))[0]['id']}"
            if name:
                visit(page, name)
            unnamed = page.evaluate(UNNAMED)
            assert not unnamed, f"{name}: {unnamed}"
            pale = page.evaluate(PALE)
            assert not pale, f"{name} in the {scheme}: {pale}"
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 360, f"{name} is {width} wide"
            focused = page.evaluate("document.activeElement.tagName")
            assert focused in ("H1", "BODY"), f"{name}: {focused} has the focus"
        page.context.close()
