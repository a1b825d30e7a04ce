// Opens every page of a running Norn in Chromium, in light and dark: no page may log an error or have a serious fault of
// accessibility. With a directory as argument it leaves a picture of each there.
//
//   NORN_URL=http://127.0.0.1:9090 npm run pages [-- /tmp/pictures]

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const norn = process.env.NORN_URL ?? 'http://127.0.0.1:9090';
const pictures = process.argv[2];
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const query = (tab, expr, more = {}) =>
  `query?${new URLSearchParams({ 'g0.expr': expr, 'g0.tab': tab, 'g0.range_input': '10m', ...more })}`;
const requests = 'sum by (handler) (rate(prometheus_http_requests_total[1m]))';
const PAGES = {
  empty: 'query',
  table: query('table', '{__name__=~"norn_.+"}'),
  graph: query('graph', requests),
  stacked: query('graph', requests, { 'g0.display_mode': 'stacked' }),
  explain: query('explain', requests),
  refused: query('table', 'sum(rate('),
  queries: 'queries',
  cardinality: 'cardinality?metric=prometheus_http_requests_total',
  targets: 'targets',
  discovery: 'service-discovery',
  rules: 'rules',
  alerts: 'alerts',
  cluster: 'cluster',
  blocks: 'blocks',
  tsdb: 'tsdb-status',
  status: 'status',
  flags: 'flags',
  config: 'config',
};
// The browser itself reports what the server refuses on purpose.
const EXPECTED = { refused: /status of 400/ };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
let faults = 0;
const fault = (...what) => {
  faults += 1;
  console.log(...what);
};
for (const colorScheme of ['light', 'dark']) {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1280, height: 860 } });
  for (const [name, path] of Object.entries(PAGES)) {
    const page = await context.newPage();
    page.on('pageerror', (error) => fault(name, colorScheme, error.message));
    page.on('console', (message) => {
      const text = message.text();
      if (['error', 'warning'].includes(message.type()) && !EXPECTED[name]?.test(text)) fault(name, colorScheme, text);
    });
    await page.goto(`${norn}/${path}`);
    await page.waitForSelector('h1');
    await page.waitForFunction(() => !document.querySelector('[role=status].empty') && !document.body.innerText.includes('Running…'));
    if (name === 'graph' || name === 'stacked') await page.waitForSelector('.u-over');
    if (pictures) await page.screenshot({ path: `${pictures}/${name}-${colorScheme}.png` });
    // Not added as a script: the page's own policy forbids foreign ones.
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    for (const { impact, id, nodes } of violations) {
      const line = `${name} ${colorScheme} ${impact} ${id}: ${nodes[0].target.join(' ')}`;
      if (impact === 'serious' || impact === 'critical') fault(line);
      else console.log(line);
    }
    await page.close();
  }
  await context.close();
}
await browser.close();
console.log(`${Object.keys(PAGES).length} views, twice: ${faults} faults`);
process.exit(faults > 0 ? 1 : 0);
