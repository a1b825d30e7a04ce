// The cluster, live: members by zone, and each shard with its leader, term and lag.

import { Switch, TextInput } from '@mantine/core';
import { type ReactNode, useState } from 'react';

import { type Cluster, type Member, type Replica, type Shard, useApi } from '../api';
import { bytes, count, time } from '../format';
import { Answered, Bar, Card, type Column, DataTable, Empty, Page, Pill, Stats } from '../parts';

const EVERY_MS = 2000;
/** How many slots all shards share. */
const SLOTS = 4096;
/** With more shards than this, single squares cannot be told apart. */
const MATRIX_SHARDS_MAX = 256;
/** How many zones are counted beside the title. */
const ZONES_MAX = 5;
/** A replica that is further behind its leader's log than this is shown as late. */
const LAG_MAX = 100;

/** The replica that says it leads under the highest term. */
function leaderOf(replicas: Replica[]): Replica | undefined {
  const leaders = replicas.filter((replica) => replica.state === 'leader');
  return leaders.sort((a, b) => (b.term ?? 0) - (a.term ?? 0))[0];
}

function lagOf(replica: Replica, replicas: Replica[]): number | null {
  if (replica.appliedIndex === undefined) return null;
  const last = Math.max(...replicas.map((one) => one.lastLogIndex ?? 0));
  return Math.max(0, last - replica.appliedIndex);
}

function isSound(shard: Shard): boolean {
  const isLate = (replica: Replica) => (lagOf(replica, shard.replicas) ?? Infinity) > LAG_MAX;
  return leaderOf(shard.replicas) !== undefined && !shard.replicas.some((replica) => !replica.live || isLate(replica));
}

export default function ClusterPage() {
  const cluster = useApi<Cluster>('status/cluster', {}, EVERY_MS);
  return (
    <Page title="Members and shards" aside={<Updated at={cluster.dataUpdatedAt} />}>
      <Answered of={cluster}>
        {(told) => (
          <>
            <Overview told={told} />
            <Members told={told} />
            <Placement told={told} />
            <Shards shards={told.shards} />
            <Groups told={told} />
          </>
        )}
      </Answered>
    </Page>
  );
}

function Updated({ at }: { at: number }) {
  if (!at) return null;
  return <span style={{ fontSize: '0.8rem', color: 'var(--mantine-color-dimmed)' }}>as of {time(at).slice(11)}, every two seconds</span>;
}

function Overview({ told }: { told: Cluster }) {
  const live = told.members.filter((member) => member.live).length;
  const led = told.shards.filter((shard) => leaderOf(shard.replicas)).length;
  const control = leaderOf(told.control);
  const of = (part: number, whole: number): ReactNode => (
    <span style={{ color: part < whole ? 'var(--bad)' : undefined }}>
      {count(part)} <small>of {count(whole)}</small>
    </span>
  );
  const series = told.shards.reduce((sum, shard) => sum + (leaderOf(shard.replicas)?.series ?? 0), 0);
  return (
    <>
      <Stats
        of={[
          ['Members live', of(live, told.members.length)],
          ['Shards with a leader', of(led, told.shards.length)],
          ['Series in heads', count(series)],
          ['Control leader', control ? <>{control.name} <small>term {control.term}</small></> : <span style={{ color: 'var(--bad)' }}>none</span>],
          ['Control state', <>version {count(told.version)}</>],
        ]}
      />
      <div role="status" aria-live="polite" className="visually-hidden">
        {live} of {told.members.length} members live, {led} of {told.shards.length} shards have a leader
      </div>
    </>
  );
}

function Members({ told }: { told: Cluster }) {
  const hasZones = told.members.some((member) => member.zone !== '');
  const liveIn = (zone: string) => told.members.filter((member) => member.zone === zone && member.live).length;
  const zones = [...new Set(told.members.map((member) => member.zone))].sort().map((zone) => `${zone || 'no zone'}: ${liveIn(zone)} live`);
  const leads = (node: number) => told.shards.filter((shard) => leaderOf(shard.replicas)?.node === node).length;
  const holds = (node: number) => told.shards.filter((shard) => shard.replicas.some((replica) => replica.node === node)).length;
  const columns: Column<Member>[] = [
    { title: 'Name', cell: (member) => <strong>{member.name}</strong>, sort: (member) => member.name },
    { title: 'State', cell: (member) => <Pill tone={member.live ? 'good' : 'bad'}>{member.live ? 'live' : 'gone'}</Pill>, sort: (member) => (member.live ? 1 : 0) },
    { title: 'Role', cell: (member) => member.role, sort: (member) => member.role },
    ...(hasZones ? [{ title: 'Zone', cell: (member: Member) => member.zone, sort: (member: Member) => member.zone }] : []),
    { title: 'Node', isNumber: true, cell: (member) => member.node, sort: (member) => member.node },
    {
      title: 'Shards',
      cell: (member) => (member.role === 'ingester' ? `leads ${leads(member.node)} of ${holds(member.node)}` : ''),
      sort: (member) => leads(member.node),
    },
    { title: 'HTTP', cell: (member) => <span className="mono">{member.httpAddress}</span> },
    { title: 'gRPC', cell: (member) => <span className="mono">{member.grpcAddress}</span> },
  ];
  // Those that are gone come first: they are what a person looks for.
  const rows = [...told.members].sort((a, b) => Number(a.live) - Number(b.live) || a.role.localeCompare(b.role) || a.node - b.node);
  return (
    <Card title="Members" aside={hasZones && zones.length <= ZONES_MAX ? zones.join(', ') : undefined}>
      <DataTable label="Members" rows={rows} columns={columns} id={(member) => String(member.node)} />
    </Card>
  );
}

/** Which ingester holds which shard, as squares; the table below says the same in words. */
function Placement({ told }: { told: Cluster }) {
  const { shards } = told;
  const ingesters = told.members.filter((member) => member.role === 'ingester');
  if (shards.length < 2 || shards.length > MATRIX_SHARDS_MAX || ingesters.length < 2) return null;
  return (
    <Card title="Placement">
      <div
        className="matrix"
        role="img"
        aria-label={`Placement of ${shards.length} shards on ${ingesters.length} ingesters; the table of shards has the same in words`}
        style={{ gridTemplateColumns: `minmax(90px, max-content) repeat(${shards.length}, 14px)` }}
      >
        {ingesters.map((ingester) => (
          <Row key={ingester.node} ingester={ingester} shards={shards} />
        ))}
      </div>
      <div className="legend" style={{ marginTop: '0.6rem' }}>
        <span><i className="cell leader" />leads</span>
        <span><i className="cell follower" />follows</span>
        <span><i className="cell away" />does not answer</span>
      </div>
    </Card>
  );
}

function Row({ ingester, shards }: { ingester: Member; shards: Shard[] }) {
  return (
    <>
      <span style={{ fontSize: '0.8rem', paddingRight: 8, color: ingester.live ? undefined : 'var(--bad)' }}>{ingester.name}</span>
      {shards.map((shard) => {
        const replica = shard.replicas.find((one) => one.node === ingester.node);
        const kind = !replica ? '' : !replica.live || !replica.state ? 'away' : replica.state === 'leader' ? 'leader' : 'follower';
        return <span key={shard.shard} className={`cell ${kind}`} title={`shard ${shard.shard}: ${kind || 'not here'}`} />;
      })}
    </>
  );
}

function Replicas({ of }: { of: Replica[] }) {
  return of.map((replica) => {
    const lag = lagOf(replica, of);
    const tone = !replica.live || lag === null || replica.state === 'failed' ? 'bad' : lag > LAG_MAX ? 'warn' : replica.state === 'leader' ? 'good' : '';
    const state = !replica.live ? 'gone' : (replica.state ?? 'does not answer');
    return (
      <div key={replica.node} style={{ marginBottom: 2 }}>
        <Pill tone={tone}>
          {replica.name || `node ${replica.node}`}: {state}
          {lag !== null && replica.state !== 'leader' && replica.live && `, ${lag === 0 ? 'no lag' : `${count(lag)} behind`}`}
        </Pill>
      </div>
    );
  });
}

function Shards({ shards }: { shards: Shard[] }) {
  const [text, setText] = useState('');
  const [onlyBad, setOnlyBad] = useState(false);
  if (shards.length === 0) {
    return (
      <Card title="Shards">
        <Empty title="No shards yet">They are placed once the cluster is founded: a majority of the ingesters has to be up.</Empty>
      </Card>
    );
  }
  const isMeant = (shard: Shard) =>
    (!onlyBad || !isSound(shard)) &&
    (text === '' || String(shard.shard) === text || shard.replicas.some((replica) => replica.name.includes(text)));
  const rows = shards.filter(isMeant);
  const columns: Column<Shard>[] = [
    { title: 'Shard', isNumber: true, cell: (shard) => shard.shard, sort: (shard) => shard.shard },
    {
      title: 'Leader',
      cell: (shard) => leaderOf(shard.replicas)?.name ?? <Pill tone="bad">none</Pill>,
      sort: (shard) => leaderOf(shard.replicas)?.name ?? '',
    },
    { title: 'Term', isNumber: true, cell: (shard) => leaderOf(shard.replicas)?.term ?? '–', sort: (shard) => leaderOf(shard.replicas)?.term ?? 0 },
    { title: 'Replicas', cell: (shard) => <Replicas of={shard.replicas} /> },
    { title: 'Series', isNumber: true, cell: (shard) => count(leaderOf(shard.replicas)?.series ?? 0), sort: (shard) => leaderOf(shard.replicas)?.series ?? 0 },
    { title: 'Samples', isNumber: true, cell: (shard) => count(leaderOf(shard.replicas)?.samples ?? 0), sort: (shard) => leaderOf(shard.replicas)?.samples ?? 0 },
    { title: 'Blocks', isNumber: true, cell: (shard) => count(shard.blocks), sort: (shard) => shard.blocks },
    { title: 'In blocks', isNumber: true, cell: (shard) => bytes(shard.blockBytes), sort: (shard) => shard.blockBytes },
    {
      title: 'Published until',
      cell: (shard) => (shard.publishedUntil === undefined ? 'nothing yet' : <span className="nowrap">{time(shard.publishedUntil)}</span>),
      sort: (shard) => shard.publishedUntil ?? 0,
    },
    {
      title: 'Slots',
      isNumber: true,
      cell: (shard) => (
        <>
          {((100 * shard.slots) / SLOTS).toFixed(1)} %
          <Bar value={shard.slots} max={SLOTS} />
        </>
      ),
      sort: (shard) => shard.slots,
    },
  ];
  return (
    <Card title="Shards" aside={`${rows.length} of ${shards.length}`}>
      {shards.length > 1 && (
        <div className="toolbar" style={{ marginBottom: '0.6rem' }}>
          <TextInput label="Filter" placeholder="number of a shard, or name of an ingester" value={text} onChange={(e) => setText(e.currentTarget.value.trim())} w={300} />
          <Switch label="Only with problems" checked={onlyBad} onChange={(e) => setOnlyBad(e.currentTarget.checked)} style={{ paddingBottom: 8 }} />
        </div>
      )}
      {rows.length === 0 ? <Empty title={onlyBad ? 'All shards are sound' : 'No shard matches'} /> : <DataTable label="Shards" rows={rows} columns={columns} id={(shard) => String(shard.shard)} />}
    </Card>
  );
}

function Groups({ told }: { told: Cluster }) {
  const leader = leaderOf(told.control);
  return (
    <>
      <Card title="Control group" aside={leader ? `led by ${leader.name}, term ${leader.term}, log index ${count(leader.lastLogIndex ?? 0)}` : undefined}>
        <div style={{ display: 'flex', gap: '0.6rem', flexWrap: 'wrap' }}>
          <Replicas of={told.control} />
        </div>
      </Card>
      <Card title="Compactors' jobs">
        {told.jobs.length === 0 ? (
          <span style={{ color: 'var(--mantine-color-dimmed)' }}>None is under way.</span>
        ) : (
          <DataTable
            label="Compactors' jobs"
            rows={told.jobs}
            id={(job) => job.id}
            columns={[
              { title: 'Job', cell: (job) => <span className="mono">{job.id}</span> },
              { title: 'Kind', cell: (job) => job.kind },
              { title: 'By', cell: (job) => job.holder },
              { title: 'Blocks read', isNumber: true, cell: (job) => job.inputs },
              { title: 'To level', isNumber: true, cell: (job) => job.level },
            ]}
          />
        )}
      </Card>
    </>
  );
}
