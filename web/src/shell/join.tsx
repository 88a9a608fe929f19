import { Alert, Button, Modal, Textarea, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Camera as CameraIcon } from 'lucide-react';
import { useState } from 'react';
import { client, troubleOf } from '../agent/client.ts';
import { useStatus } from '../agent/queries.ts';
import { cleanLine } from '../words/clean.ts';
import { tell } from './agent.tsx';
import { CAN_SCAN, Camera } from './camera.tsx';
import styles from './invite.module.css';

export function JoinDialog({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  return (
    <Modal opened={opened} onClose={onClose} title="Join a network" size="md">
      {opened && <Join isFirst={false} onJoined={onClose} />}
    </Modal>
  );
}

/** By a link, pasted or seen by the camera. `isFirst`: nobody is known yet, so nobody is left behind. */
export function Join({ isFirst, onJoined }: { isFirst: boolean; onJoined: () => void }) {
  const queries = useQueryClient();
  const mine = useStatus().data?.handle.split('@')[0] ?? '';
  const [name, setName] = useState<string | undefined>();
  const [link, setLink] = useState('');
  const [scanning, setScanning] = useState(false);
  const [leaves, setLeaves] = useState(false);
  const [busy, setBusy] = useState(false);
  const [why, setWhy] = useState<string | undefined>();
  const join = async () => {
    setBusy(true);
    setWhy(undefined);
    try {
      const instead = isFirst || leaves;
      const wanted = (name ?? mine).trim();
      const { handle } = await client.trackers.join({
        invite: link.trim(),
        instead,
        ...(wanted !== '' && wanted !== mine && { name: wanted }),
      });
      await queries.invalidateQueries();
      tell(`You are ${handle}.`, 'good');
      onJoined();
    } catch (error) {
      const { code, message } = troubleOf(error);
      if (code === 'wrong_state' && !leaves) setLeaves(true);
      else setWhy(message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      className={styles.invite}
      onSubmit={(event) => {
        event.preventDefault();
        void join();
      }}
    >
      <TextInput
        label="Your name there"
        description="As others see it, such as alice. It is yours once the network has taken it."
        maxLength={64}
        value={name ?? mine}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <Textarea
        label="Invite link"
        description="Somebody who is in the network already has one: in the menu behind their picture."
        placeholder="netapp://…"
        autosize
        minRows={2}
        maxRows={5}
        value={link}
        onChange={(event) => setLink(event.currentTarget.value)}
      />
      {CAN_SCAN && !scanning && (
        <Button variant="default" leftSection={<CameraIcon size={18} />} onClick={() => setScanning(true)}>
          Read it with the camera
        </Button>
      )}
      {scanning && (
        <Camera
          onRead={(text) => {
            setScanning(false);
            setLink(text);
          }}
        />
      )}
      {leaves && (
        <Alert color="yellow" title="You leave the network of now">
          It is another one than that of the link, or it runs on this machine, and ends. Whoever is there finds you no
          more by your handle of now; conversations and files stay here.
        </Alert>
      )}
      {why !== undefined && <p role="alert">{cleanLine(why)}</p>}
      <Button type="submit" loading={busy} disabled={link.trim() === ''}>
        {leaves ? 'Leave it and join' : 'Join'}
      </Button>
    </form>
  );
}
