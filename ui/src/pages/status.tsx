// What this process is, and since when it runs.

import { useApi } from '../api';
import { ago } from '../format';
import { Answered, Card, DataTable, Page } from '../parts';

const NAMES: Record<string, string> = {
  startTime: 'Started',
  CWD: 'Working directory',
  serverTime: 'Time at the server',
  lastConfigTime: 'Configuration read',
  reloadConfigSuccess: 'Configuration is sound',
  storageRetention: 'Samples are kept for',
  version: 'Prometheus API',
  nornVersion: 'Norn',
  rustVersion: 'Rust',
  revision: 'Revision',
};

export default function StatusPage() {
  const build = useApi<Record<string, string>>('status/buildinfo');
  const runtime = useApi<Record<string, string | boolean>>('status/runtimeinfo', {}, 10_000);
  return (
    <Page title="Runtime and build">
      <Card title="Runtime">
        <Answered of={runtime}>{(facts) => <Facts label="Runtime" facts={facts} />}</Answered>
      </Card>
      <Card title="Build">
        <Answered of={build}>{(facts) => <Facts label="Build" facts={facts} />}</Answered>
        <p>
          This page is built of other people's work: <a href="./LICENSES.txt">their licences</a>.
        </p>
      </Card>
    </Page>
  );
}

function Facts({ label, facts }: { label: string; facts: Record<string, string | boolean> }) {
  const rows = Object.entries(facts).filter(([, value]) => value !== '');
  return (
    <DataTable
      label={label}
      rows={rows}
      id={([name]) => name}
      columns={[
        { title: 'What', cell: ([name]) => NAMES[name] ?? name },
        { title: 'Value', cell: ([name, value]) => <span className="mono">{value === true ? 'yes' : value === false ? 'no' : `${value}${name === 'startTime' ? ` (${ago(value)})` : ''}`}</span> },
      ]}
    />
  );
}
