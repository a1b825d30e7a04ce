// The catalogue of blocks: over time by resolution and level, and each in detail.

import { Button, NativeSelect } from '@mantine/core';
import { useMemo, useState } from 'react';

import { type Block, type Blocks, useApi } from '../api';
import { bytes, count, duration, plural, time } from '../format';
import { Answered, Card, type Column, DataTable, Empty, Page, Pill, Stats } from '../parts';

const EVERY_MS = 10_000;
/** How many blocks are asked for at first, and the most the server tells at once. */
const LIMIT = 1000;
const LIMIT_MAX = 10_000;
/** How many rows a level has at the most; what does not fit lies over the last. */
const LANES_MAX = 24;
const WIDTH = 1000;
const LEFT = 90;
const LANE = 13;
const FILLS = ['#3b5bdb', '#0b7a75', '#9c5a00', '#862e9c', '#a61e4d', '#2b6a30'];

function sizeOf(block: Block): number {
  return block.seriesBytes + block.chunksBytes;
}

function resolution(block: Block): string {
  return block.resolution === 0 ? 'raw' : duration(block.resolution);
}

function state(block: Block) {
  if (block.tombstoned) return <Pill>to be deleted</Pill>;
  return block.setAside ? <Pill tone="bad">damaged</Pill> : <Pill tone="good">active</Pill>;
}

export default function BlocksPage() {
  const [limit, setLimit] = useState(LIMIT);
  const [chosen, setChosen] = useState<string>();
  const [want, setWant] = useState({ shard: '', level: '', resolution: '', state: 'active' });
  const blocks = useApi<Blocks>('status/blocks', { limit }, EVERY_MS);
  const pick = (name: keyof typeof want, label: string, values: string[]) => (
    <NativeSelect label={label} value={want[name]} onChange={(e) => setWant({ ...want, [name]: e.currentTarget.value })} data={[{ value: '', label: 'all' }, ...values]} />
  );
  return (
    <Page title="Blocks">
      <Answered of={blocks}>
        {({ total, blocks: all }) => {
          if (total === 0) {
            return <Empty title="No blocks yet">A head window becomes a block when it is over: two hours and a little after the first sample, unless --storage.block-duration says otherwise.</Empty>;
          }
          const isMeant = (block: Block) =>
            (!want.shard || String(block.shard) === want.shard) &&
            (!want.level || String(block.level) === want.level) &&
            (!want.resolution || resolution(block) === want.resolution) &&
            (!want.state || (want.state === 'active' ? !block.tombstoned : want.state === 'damaged' ? !!block.setAside : !!block.tombstoned));
          const found = all.filter(isMeant);
          const shown = found.find((block) => block.id === chosen);
          const distinct = <T,>(of: (block: Block) => T) => [...new Set(all.map(of))].sort().map(String);
          return (
            <>
              <Stats
                of={[
                  ['Blocks', <>{count(found.length)} <small>of {count(total)}</small></>],
                  ['Size', bytes(found.reduce((sum, block) => sum + sizeOf(block), 0))],
                  ['Samples', count(found.reduce((sum, block) => sum + block.samples, 0))],
                  ['Damaged', count(found.filter((block) => block.setAside).length)],
                ]}
              />
              <div className="toolbar">
                {pick('shard', 'Shard', [...new Set(all.map((block) => block.shard))].sort((a, b) => a - b).map(String))}
                {pick('level', 'Level', distinct((block) => block.level))}
                {pick('resolution', 'Resolution', distinct(resolution))}
                {pick('state', 'State', ['active', 'to be deleted', 'damaged'])}
                {total > all.length && (
                  <span>
                    The {count(all.length)} that end last.{' '}
                    {limit < LIMIT_MAX && (
                      <Button variant="default" size="compact-sm" onClick={() => setLimit(LIMIT_MAX)}>
                        Load {count(Math.min(total, LIMIT_MAX))}
                      </Button>
                    )}
                  </span>
                )}
              </div>
              {found.length === 0 ? <Empty title="No block matches" /> : (
                <Card title="Over time">
                  <Timeline blocks={found} chosen={chosen} onChoose={setChosen} />
                </Card>
              )}
              {shown && <Details block={shown} />}
              <Card title="All of them" aside={plural(found.length, 'block')}>
                <DataTable label="Blocks" rows={found} columns={columns(setChosen)} id={(block) => block.id} chosen={chosen} />
              </Card>
            </>
          );
        }}
      </Answered>
    </Page>
  );
}

function columns(choose: (id: string) => void): Column<Block>[] {
  return [
    {
      title: 'Block',
      cell: (block) => (
        <button type="button" className="plain-button mono" onClick={() => choose(block.id)}>
          {block.id}
        </button>
      ),
      sort: (block) => block.id,
    },
    { title: 'State', cell: state, sort: (block) => (block.setAside ? 0 : block.tombstoned ? 2 : 1) },
    { title: 'Shard', isNumber: true, cell: (block) => block.shard, sort: (block) => block.shard },
    { title: 'Level', isNumber: true, cell: (block) => block.level, sort: (block) => block.level },
    { title: 'Resolution', isNumber: true, cell: resolution, sort: (block) => block.resolution },
    { title: 'From', cell: (block) => <span className="nowrap">{time(block.minTime)}</span>, sort: (block) => block.minTime },
    { title: 'Length', isNumber: true, cell: (block) => duration(block.maxTime - block.minTime), sort: (block) => block.maxTime - block.minTime },
    { title: 'Series', isNumber: true, cell: (block) => count(block.series), sort: (block) => block.series },
    { title: 'Samples', isNumber: true, cell: (block) => count(block.samples), sort: (block) => block.samples },
    { title: 'Size', isNumber: true, cell: (block) => bytes(sizeOf(block)), sort: sizeOf },
  ];
}

interface Lane {
  name: string;
  /** Rows of blocks that do not overlap. */
  rows: Block[][];
}

/** Puts blocks of one resolution and level into as few rows as they need without overlapping. */
function lanesOf(blocks: Block[]): Lane[] {
  const groups = new Map<string, Block[]>();
  const order = [...blocks].sort((a, b) => a.resolution - b.resolution || a.level - b.level || a.minTime - b.minTime || a.shard - b.shard);
  for (const block of order) {
    const name = `${resolution(block)}, level ${block.level}`;
    const group = groups.get(name);
    if (group) group.push(block);
    else groups.set(name, [block]);
  }
  return [...groups].map(([name, group]) => {
    const rows: Block[][] = [];
    for (const block of group) {
      const free = rows.find((row) => row.at(-1)!.maxTime <= block.minTime);
      if (free) free.push(block);
      else if (rows.length < LANES_MAX) rows.push([block]);
      else rows.at(-1)!.push(block);
    }
    return { name, rows };
  });
}

function Timeline(props: { blocks: Block[]; chosen: string | undefined; onChoose: (id: string) => void }) {
  const { blocks, chosen, onChoose } = props;
  const lanes = useMemo(() => lanesOf(blocks), [blocks]);
  const [from, to] = [Math.min(...blocks.map((block) => block.minTime)), Math.max(...blocks.map((block) => block.maxTime))];
  const x = (ms: number) => LEFT + ((ms - from) / Math.max(1, to - from)) * (WIDTH - LEFT - 4);
  const ticks = Array.from({ length: 6 }, (_, at) => from + ((to - from) * at) / 5);
  const tops: number[] = [];
  let height = 6;
  for (const lane of lanes) {
    tops.push(height);
    height += lane.rows.length * LANE + 12;
  }
  return (
    <svg className="timeline" viewBox={`0 0 ${WIDTH} ${height + 20}`} role="img" aria-label={`${plural(blocks.length, 'block')} from ${time(from)} to ${time(to)}; the table below has the same in words`}>
      {ticks.map((ms, at) => (
        <g key={at}>
          <line x1={x(ms)} x2={x(ms)} y1={0} y2={height} />
          <text x={x(ms)} y={height + 14} textAnchor={at === 0 ? 'start' : at === 5 ? 'end' : 'middle'}>
            {time(ms).slice(0, 16)}
          </text>
        </g>
      ))}
      {lanes.map((lane, at) => (
        <g key={lane.name}>
          <text x={0} y={tops[at]! + 10}>
            {lane.name}
          </text>
          {lane.rows.map((row, rowAt) =>
            row.map((block) => (
              <rect
                key={block.id}
                className={`block ${block.id === chosen ? 'chosen' : ''}`}
                x={x(block.minTime)}
                y={tops[at]! + rowAt * LANE}
                width={Math.max(2, x(block.maxTime) - x(block.minTime))}
                height={LANE - 2}
                rx={2}
                fill={block.setAside ? 'var(--bad)' : FILLS[(block.level + (block.resolution > 0 ? 3 : 0)) % FILLS.length]}
                opacity={block.tombstoned ? 0.35 : 1}
                onClick={() => onChoose(block.id)}
              >
                <title>{`${block.id}\nshard ${block.shard}, level ${block.level}, ${resolution(block)}\n${time(block.minTime)} to ${time(block.maxTime)}\n${bytes(sizeOf(block))}, ${count(block.samples)} samples`}</title>
              </rect>
            )),
          )}
        </g>
      ))}
    </svg>
  );
}

function Details({ block }: { block: Block }) {
  const facts: [string, React.ReactNode][] = [
    ['State', state(block)],
    ...(block.setAside ? [['Why it is set aside', block.setAside] as [string, string]] : []),
    ...(block.tombstoned ? [['Why it goes', block.tombstoned] as [string, string]] : []),
    ['Shard', block.shard],
    ['Level and resolution', `${block.level}, ${resolution(block)}`],
    ['Range', `${time(block.minTime)} to ${time(block.maxTime)} (${duration(block.maxTime - block.minTime)})`],
    ['Series and samples', `${count(block.series)} and ${count(block.samples)}`],
    ['Bytes of a sample', block.samples ? (sizeOf(block) / block.samples).toFixed(2) : '–'],
    ['Index and chunks', `${bytes(block.seriesBytes)} and ${bytes(block.chunksBytes)}`],
    ['Deletes left out', count(block.deletes)],
    ['Object', <span className="mono">{block.key}</span>],
    ['Merged from', block.parents.length === 0 ? 'cut from a head' : <span className="mono">{block.parents.join(' ')}</span>],
  ];
  return (
    <Card title={`Block ${block.id}`}>
      <table className="data">
        <tbody>
          {facts.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}
