#include <sqlite3.h>

/* sqlite3_config takes variable arguments, which Swift cannot pass. Before the first connection of the process: no count
   of the memory in use, which is a lock at every allocation. */
static inline int liaison_sqlite_configure(void) { return sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); }

/* Makes what was written to the main file durable, through a connection's own handle of it: another descriptor's
   close would give up the locks of all. */
static inline int liaison_sqlite_sync(sqlite3 *db) {
  sqlite3_file *file = 0;
  int code = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  if (code != SQLITE_OK) return code;
  return file && file->pMethods ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) : SQLITE_MISUSE;
}
