// The alerts that are pending or firing.

import { Link } from 'react-router';

import { type Alert, useApi } from '../api';
import { ago } from '../format';
import { Answered, Card, DataTable, Empty, LabelList, Page, Pill } from '../parts';

const EVERY_MS = 5000;

export default function AlertsPage() {
  const alerts = useApi<{ alerts: Alert[] }>('alerts', {}, EVERY_MS);
  return (
    <Page title="Alerts">
      <Answered of={alerts}>
        {({ alerts: all }) =>
          all.length === 0 ? (
            <Empty title="No alert is pending or firing">
              Norn reads alerting rules and does not evaluate them yet. <Link to="/rules">Rules</Link>
            </Empty>
          ) : (
            <Card title="Active alerts">
              <DataTable
                label="Active alerts"
                rows={[...all].sort((a, b) => a.state.localeCompare(b.state))}
                id={(_, at) => String(at)}
                columns={[
                  { title: 'Alert', cell: (alert) => <strong>{alert.labels.alertname}</strong>, sort: (alert) => alert.labels.alertname ?? '' },
                  { title: 'State', cell: (alert) => <Pill tone={alert.state === 'firing' ? 'bad' : 'warn'}>{alert.state}</Pill>, sort: (alert) => alert.state },
                  { title: 'Labels', cell: (alert) => <LabelList labels={alert.labels} without={['alertname']} /> },
                  { title: 'Annotations', cell: (alert) => Object.entries(alert.annotations).map(([name, text]) => <div key={name}>{text}</div>) },
                  { title: 'Since', isNumber: true, cell: (alert) => ago(alert.activeAt ?? ''), sort: (alert) => Date.parse(alert.activeAt ?? '') },
                  { title: 'Value', isNumber: true, cell: (alert) => alert.value },
                ]}
              />
            </Card>
          )
        }
      </Answered>
    </Page>
  );
}
