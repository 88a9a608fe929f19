import { Button, CopyButton, Modal, Textarea } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { client, troubleOf } from '../agent/client.ts';
import { Code } from '../words/code.tsx';
import styles from './invite.module.css';

export function InviteDialog({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const { data, error } = useQuery({ queryKey: ['invite'], queryFn: () => client.status.invite(), enabled: opened });
  return (
    <Modal opened={opened} onClose={onClose} title="Invite somebody" size="md">
      <div className={styles.invite}>
        {error && <p>{troubleOf(error).message}</p>}
        {data && (
          <>
            <p>
              Whoever has this link can join <strong>{data.zone}</strong>. On their machine:{' '}
              <code>netapp up --name NAME --join LINK</code>
            </p>
            <Code text={data.invite} label="The invite link as a QR code" />
            <Textarea readOnly autosize value={data.invite} aria-label="Invite link" />
            <CopyButton value={data.invite}>
              {({ copied, copy }) => <Button onClick={copy}>{copied ? 'Copied' : 'Copy the link'}</Button>}
            </CopyButton>
          </>
        )}
      </div>
    </Modal>
  );
}
