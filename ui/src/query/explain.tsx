// How a query was evaluated: its nodes as a tree, who evaluated each, and what that took.

import type { ExplainNode, Explanation } from '../api';
import { bytes, count, seconds, time } from '../format';
import { Bar, Card, type Column, DataTable, Pill } from '../parts';

export default function Explain({ explanation }: { explanation: Explanation }) {
  const { nodes, selects, pushed } = explanation;
  const slowest = Math.max(...nodes.map((node) => node.stats?.wallSeconds ?? 0));
  const columns: Column<[ExplainNode, number]>[] = [
    {
      title: 'Node',
      cell: ([node, depth]) => (
        <span style={{ display: 'flex', gap: 6, minWidth: 280, paddingLeft: depth * 16 }}>
          {depth > 0 && <span aria-hidden="true">└</span>}
          <span>
            <span className="mono">{textOf(node, explanation.query)}</span> <span className="label">{node.kind}</span>
            {node.stepInvariant && <span className="label">once for all steps</span>}
          </span>
        </span>
      ),
    },
    { title: 'Evaluated', cell: ([node]) => <Pill tone={node.evaluatedBy.startsWith('storage') ? 'good' : ''}>{where(node)}</Pill> },
    { title: 'Series', isNumber: true, cell: ([node]) => (node.stats ? count(node.stats.series) : '') },
    { title: 'Out', isNumber: true, cell: ([node]) => (node.stats ? count(node.stats.samples) : '') },
    { title: 'Read', isNumber: true, cell: ([node]) => (node.stats ? count(node.stats.samplesRead) : '') },
    { title: 'Memory', isNumber: true, cell: ([node]) => (node.stats ? bytes(node.stats.memoryBytes) : '') },
    {
      title: 'Time',
      isNumber: true,
      cell: ([node]) =>
        node.stats && (
          <>
            {seconds(node.stats.wallSeconds)}
            <Bar value={node.stats.wallSeconds} max={slowest} />
          </>
        ),
    },
  ];
  return (
    <div style={{ display: 'grid', gap: '1rem', gridTemplateColumns: 'minmax(0, 1fr)' }}>
      <Card title="Nodes">
        <DataTable label="Nodes" rows={ordered(nodes, explanation.root)} columns={columns} id={([node]) => String(node.id)} />
      </Card>
      {pushed.length > 0 && (
        <Card title="Evaluated where the samples are">
          <DataTable
            label="Evaluated where the samples are"
            rows={pushed}
            id={(_, at) => String(at)}
            columns={[
              { title: 'By', cell: (run) => run.owner, sort: (run) => run.owner },
              { title: 'Nodes', cell: (run) => run.nodes.map((part) => nodes[part.node]?.text ?? part.node).join(', ') },
              { title: 'Series', isNumber: true, cell: (run) => count(run.series), sort: (run) => run.series },
              { title: 'Samples read', isNumber: true, cell: (run) => count(run.samplesRead), sort: (run) => run.samplesRead },
              { title: 'Sent back', isNumber: true, cell: (run) => bytes(run.bytes), sort: (run) => run.bytes },
              { title: 'Time', isNumber: true, cell: (run) => seconds(run.seconds), sort: (run) => run.seconds },
            ]}
          />
        </Card>
      )}
      {selects.length > 0 && (
        <Card title="What is read">
          <DataTable
            label="What is read"
            rows={selects}
            id={(select) => String(select.id)}
            columns={[
              { title: 'Selector', cell: (select) => <span className="mono">{select.selector}</span> },
              { title: 'From', cell: (select) => time(select.start * 1000) },
              { title: 'To', cell: (select) => time(select.end * 1000) },
              {
                title: 'Series',
                isNumber: true,
                cell: (select) => (select.series === undefined ? 'read elsewhere' : count(select.series)),
              },
            ]}
          />
        </Card>
      )}
    </div>
  );
}

/** The whole text where its place can be used as it is: places count bytes, and the server cuts long texts. */
function textOf(node: ExplainNode, query: string): string {
  const isPlain = /^[\x00-\x7f]*$/.test(query);
  return (isPlain && query.slice(node.from, node.to)) || node.text || node.name;
}

function where(node: ExplainNode): string {
  switch (node.evaluatedBy) {
    case 'engine':
      return 'querier';
    case 'parent':
      return 'with parent';
    case 'storage':
      return 'storage';
    default:
      return 'storage, with parent';
  }
}

/** Parents before their children, with their depth. */
function ordered(nodes: ExplainNode[], root: number): [ExplainNode, number][] {
  const found: [ExplainNode, number][] = [];
  const visit = (id: number, depth: number) => {
    const node = nodes[id];
    if (!node || found.length > nodes.length) return;
    found.push([node, depth]);
    node.children.forEach((child) => visit(child, depth + 1));
  };
  visit(root, 0);
  return found;
}
