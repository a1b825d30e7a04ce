// Rule groups and how their last evaluation went.

import { TextInput } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'react-router';

import { type Rule, type RuleGroup, useApi } from '../api';
import { ago, duration, seconds } from '../format';
import { Answered, Card, type Column, DataTable, Empty, LabelList, Page, Pill } from '../parts';

const EVERY_MS = 10_000;

const COLUMNS: Column<Rule>[] = [
  {
    title: 'Rule',
    cell: (rule) => (
      <>
        <strong>{rule.name}</strong> {rule.type === 'alerting' && <span className="label">alert{rule.duration ? ` for ${duration(rule.duration * 1000)}` : ''}</span>}
        <div>
          <Link className="mono" to={`/query?${new URLSearchParams({ 'g0.expr': rule.query, 'g0.tab': 'graph' })}`}>
            {rule.query}
          </Link>
        </div>
        <LabelList labels={{ ...rule.labels, ...rule.annotations }} />
        {rule.lastError && <div className="mono" style={{ color: 'var(--bad)' }}>{rule.lastError}</div>}
      </>
    ),
    sort: (rule) => rule.name,
  },
  { title: 'Health', cell: (rule) => <Pill tone={rule.health === 'ok' ? 'good' : rule.health === 'err' ? 'bad' : 'warn'}>{rule.health}</Pill>, sort: (rule) => rule.health },
  { title: 'State', cell: (rule) => rule.state && <Pill tone={rule.state === 'firing' ? 'bad' : rule.state === 'pending' ? 'warn' : 'good'}>{rule.state}</Pill> },
  { title: 'Evaluated', isNumber: true, cell: (rule) => ago(rule.lastEvaluation) },
  { title: 'Took', isNumber: true, cell: (rule) => seconds(rule.evaluationTime), sort: (rule) => rule.evaluationTime },
];

export default function RulesPage() {
  const [text, setText] = useState('');
  const rules = useApi<{ groups: RuleGroup[] }>('rules', {}, EVERY_MS);
  return (
    <Page title="Rules">
      <Answered of={rules}>
        {({ groups }) => {
          if (groups.length === 0) {
            return <Empty title="This server tells of no rules">Rulers evaluate recording rules from rule_files; queriers do not tell of them yet. What they record can be queried.</Empty>;
          }
          const isMeant = (rule: Rule) => `${rule.name} ${rule.query}`.toLowerCase().includes(text.toLowerCase());
          const found = groups.map((group) => ({ ...group, rules: group.rules.filter(isMeant) })).filter((group) => group.rules.length > 0);
          return (
            <>
              <TextInput label="Filter" placeholder="part of a name or expression" value={text} onChange={(e) => setText(e.currentTarget.value)} maw={420} />
              {found.length === 0 && <Empty title="No rule matches" />}
              {found.map((group) => (
                <Card
                  key={`${group.file} ${group.name}`}
                  title={group.name}
                  aside={
                    <span>
                      <span className="mono">{group.file}</span>, every {duration(group.interval * 1000)}, took {seconds(group.evaluationTime)}
                    </span>
                  }
                >
                  <DataTable label={`Rules of ${group.name}`} rows={group.rules} columns={COLUMNS} id={(rule, at) => `${rule.name} ${at}`} />
                </Card>
              ))}
            </>
          );
        }}
      </Answered>
    </Page>
  );
}
