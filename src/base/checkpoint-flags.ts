/** Places in the memory that a store and its checkpoint thread share. */

/** 1 while the thread has the store open. */
export const OPEN = 0;
/** 1 once it is not to open it any more. */
export const STOPPED = 1;
