import { Button, Modal, Textarea } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { client, troubleOf } from '../agent/client.ts';
import { keys } from '../agent/queries.ts';
import { attempt, tell, useMe } from '../shell/agent.tsx';
import { CAN_SCAN, Camera } from '../shell/camera.tsx';
import { Code } from '../words/code.tsx';
import { showMoment, showName } from '../words/show.ts';
import styles from './verify.module.css';

export function Verify({ handle, opened, onClose }: { handle: string; opened: boolean; onClose: () => void }) {
  const me = useMe();
  const queries = useQueryClient();
  const [shown, setShown] = useState('');
  const [scanning, setScanning] = useState(false);
  const { data, error } = useQuery({
    queryKey: ['safety', handle],
    queryFn: () => client.people.verify({ handle }),
    enabled: opened,
    staleTime: 0,
  });
  const name = showName(handle, me);
  const confirm = () =>
    attempt(async () => {
      await client.people.verify({ handle, confirm: shown.trim() });
      await queries.invalidateQueries({ queryKey: keys.people });
      await queries.invalidateQueries({ queryKey: ['lookup', handle] });
      tell(`${name} is verified.`, 'good');
      setShown('');
      onClose();
    });
  return (
    <Modal
      opened={opened}
      onClose={() => {
        setScanning(false);
        onClose();
      }}
      title={`Is it really ${name}?`}
      size="lg"
    >
      {error && <p role="alert">{troubleOf(error).message}</p>}
      {data && (
        <div className={styles.verify}>
          <p>
            Both of you see the same digits here. Compare them face to face or by phone, not through NetApp. If they are
            the same, nobody stands between you.
          </p>
          <div className={styles.both}>
            <Code text={data.uri} label="The safety number as a QR code" />
            <div>
              <p className={styles.number}>
                {data.number.split(' ').map((group, index) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: groups of one number keep their places
                  <span key={index}>{group}</span>
                ))}
              </p>
              <p className={styles.words}>{data.words}</p>
            </div>
          </div>
          {data.verifiedAt !== null && <p className={styles.done}>You compared it on {showMoment(data.verifiedAt)}.</p>}
          <form
            onSubmit={(event) => {
              event.preventDefault();
              void confirm();
            }}
          >
            <Textarea
              label="What the other side shows"
              description="The digits, the words, or what their QR code says. They are compared here; equal ones verify."
              autosize
              value={shown}
              onChange={(event) => setShown(event.currentTarget.value)}
            />
            {scanning && (
              <Camera
                onRead={(text) => {
                  setScanning(false);
                  setShown(text);
                }}
              />
            )}
            {CAN_SCAN && !scanning && (
              <Button mt="sm" mr="sm" variant="default" onClick={() => setScanning(true)}>
                Read their code with the camera
              </Button>
            )}
            <Button mt="sm" type="submit" disabled={shown.trim() === ''}>
              Compare
            </Button>
          </form>
        </div>
      )}
    </Modal>
  );
}
