// The PromQL editor: highlighting, completion against this server's own API, lint.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { lintKeymap } from '@codemirror/lint';
import { EditorState, Prec } from '@codemirror/state';
import { EditorView, keymap, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { PromQLExtension } from '@prometheus-io/codemirror-promql';
import { useEffect, useRef } from 'react';

import { base } from '../api';

/** How long names that were completed are kept, ms. */
const NAMES_MS = 60_000;

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: 'var(--editor-keyword)' },
  { tag: tags.operatorKeyword, color: 'var(--editor-keyword)' },
  { tag: tags.modifier, color: 'var(--editor-keyword)' },
  { tag: tags.function(tags.variableName), color: 'var(--editor-function)' },
  { tag: tags.string, color: 'var(--editor-string)' },
  { tag: tags.number, color: 'var(--editor-number)' },
  { tag: tags.labelName, color: 'var(--editor-label)' },
  { tag: tags.comment, color: 'var(--mantine-color-dimmed)', fontStyle: 'italic' },
  { tag: tags.invalid, color: 'var(--bad)' },
]);

export default function Editor(props: { value: string; onChange: (value: string) => void; onRun: () => void; hasFocus: boolean }) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    const promql = new PromQLExtension().setComplete({
      remote: { url: base.replace(/\/$/, ''), httpMethod: 'GET', cache: { maxAge: NAMES_MS } },
    });
    const run = () => {
      latest.current.onRun();
      return true;
    };
    const made = new EditorView({
      parent: host.current!,
      state: EditorState.create({
        doc: latest.current.value,
        extensions: [
          history(),
          bracketMatching(),
          closeBrackets(),
          autocompletion(),
          syntaxHighlighting(colours),
          promql.asExtension(),
          EditorView.lineWrapping,
          placeholder('PromQL expression, for example: sum by (job) (rate(http_requests_total[5m]))'),
          EditorView.contentAttributes.of({ 'aria-label': 'PromQL expression', autocapitalize: 'off' }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) latest.current.onChange(update.state.doc.toString());
          }),
          keymap.of([...completionKeymap, ...closeBracketsKeymap, ...lintKeymap]),
          Prec.low(keymap.of([{ key: 'Enter', run }])),
          Prec.highest(keymap.of([{ key: 'Mod-Enter', run }])),
          // Shift-Enter makes a new line; Tab leaves the editor, as everywhere on the page.
          keymap.of([...historyKeymap]),
          Prec.lowest(keymap.of(defaultKeymap)),
        ],
      }),
    });
    view.current = made;
    if (latest.current.hasFocus) made.focus();
    return () => {
      promql.destroy();
      made.destroy();
    };
  }, []);

  useEffect(() => {
    const shown = view.current;
    if (shown && shown.state.doc.toString() !== props.value) {
      shown.dispatch({ changes: { from: 0, to: shown.state.doc.length, insert: props.value } });
    }
  }, [props.value]);

  return <div ref={host} />;
}
