import { Button, CopyButton, Modal, Textarea } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { client, troubleOf } from '../agent/client.ts';
import { cleanLine } from '../words/clean.ts';
import { Code } from '../words/code.tsx';
import styles from './invite.module.css';

export function InviteDialog({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  return (
    <Modal opened={opened} onClose={onClose} title="Invite somebody" size="md">
      {opened && <Invite />}
    </Modal>
  );
}

/** The link by which others come in, as text and as a code for cameras. */
export function Invite() {
  const { data, error } = useQuery({ queryKey: ['invite'], queryFn: () => client.status.invite() });
  return (
    <div className={styles.invite}>
      {error && <p role="alert">{troubleOf(error).message}</p>}
      {data && (
        <>
          <p>
            Whoever has this link can join <strong>{cleanLine(data.zone)}</strong>: on their own page, under “Join a
            network”, or where they have no page:
          </p>
          <code className={styles.command}>netapp up --name NAME --join LINK</code>
          <Code text={data.invite} label="The invite link as a QR code" />
          <Textarea readOnly autosize maxRows={5} value={data.invite} aria-label="Invite link" />
          <CopyButton value={data.invite}>
            {({ copied, copy }) => <Button onClick={copy}>{copied ? 'Copied' : 'Copy the link'}</Button>}
          </CopyButton>
        </>
      )}
    </div>
  );
}
