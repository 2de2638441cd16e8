// The API on net/http and pgx v4, with Debian's packages: a pool, and one batch per request, so that begin, the caller,
// the statement and commit are one round trip (pgx.Batch).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/golang-jwt/jwt"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

// PostgreSQL builds the JSON: each statement returns one row, or none.
const (
	poolSize = 10
	columns  = `id, user_id, text, completed, "order", created_at, updated_at, completed_at`
	list     = `
		select coalesce(json_agg(task)::text, '[]'), coalesce(to_json((array_agg(task.id))[$1])::text, 'null')
		from (select ` + columns + ` from app.tasks order by id desc limit $1::int) as task`
	read   = `select to_json(task)::text from (select ` + columns + ` from app.tasks where id = $1) as task`
	create = `
		with task as (insert into app.tasks (text, completed, "order") values ($1, $2, $3) returning ` + columns + `)
		select to_json(task)::text from task`
	change = `
		with task as (
			update app.tasks
			set text = coalesce($2, text), completed = coalesce($3, completed), "order" = coalesce($4, "order")
			where id = $1
			returning ` + columns + `
		)
		select to_json(task)::text from task`
)

type newTask struct {
	Text      string `json:"text"`
	Completed bool   `json:"completed"`
	Order     int32  `json:"order"`
}

type taskChange struct {
	Text      *string `json:"text"`
	Completed *bool   `json:"completed"`
	Order     *int32  `json:"order"`
}

type api struct {
	pool   *pgxpool.Pool
	secret []byte
}

// a statement with its arguments, and where the columns of its row go
type query struct {
	statement string
	arguments []interface{}
	columns   []interface{}
}

// run runs a statement in a transaction of the user. It returns pgx.ErrNoRows if the statement has no row.
func (a *api) run(ctx context.Context, userID string, q query) error {
	batch := &pgx.Batch{}
	batch.Queue("begin")
	batch.Queue("select set_config('app.user_id', $1, true)", userID)
	batch.Queue(q.statement, q.arguments...)
	batch.Queue("commit")
	results := a.pool.SendBatch(ctx, batch)
	err := scanThird(results, q.columns)
	if closed := results.Close(); closed != nil { // reads the commit's result, and releases the connection
		return closed
	}
	return err
}

// scanThird skips what begin and set_config return.
func scanThird(results pgx.BatchResults, columns []interface{}) error {
	for skipped := 0; skipped < 2; skipped++ {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	return results.QueryRow().Scan(columns...)
}

func (a *api) userID(r *http.Request) (string, error) {
	claims := jwt.StandardClaims{}
	parser := jwt.Parser{ValidMethods: []string{"HS256"}}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	_, err := parser.ParseWithClaims(token, &claims, func(*jwt.Token) (interface{}, error) { return a.secret, nil })
	if err == nil && claims.Subject == "" {
		err = errors.New("no subject")
	}
	return claims.Subject, err
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	userID, err := a.userID(r)
	if err != nil {
		write(w, http.StatusUnauthorized, []byte(`{"message":"Could not validate credentials"}`))
		return
	}
	switch id := strings.TrimPrefix(r.URL.Path, "/tasks/"); {
	case r.URL.Path == "/tasks" && r.Method == http.MethodGet:
		a.list(w, r, userID, limit(r))
	case r.URL.Path == "/tasks" && r.Method == http.MethodPost:
		var body newTask
		if decode(w, r, &body) {
			a.one(w, r, http.StatusCreated, userID, create, body.Text, body.Completed, body.Order)
		}
	case id != r.URL.Path && r.Method == http.MethodGet:
		a.one(w, r, http.StatusOK, userID, read, id)
	case id != r.URL.Path && r.Method == http.MethodPatch:
		var body taskChange
		if decode(w, r, &body) {
			a.one(w, r, http.StatusOK, userID, change, id, body.Text, body.Completed, body.Order)
		}
	default:
		write(w, http.StatusNotFound, []byte(`{"message":"Not found"}`))
	}
}

func limit(r *http.Request) int {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 || limit > 200 {
		return 50
	}
	return limit
}

func (a *api) list(w http.ResponseWriter, r *http.Request, userID string, limit int) {
	var items, nextCursor string
	err := a.run(r.Context(), userID, query{list, []interface{}{limit}, []interface{}{&items, &nextCursor}})
	respond(w, http.StatusOK, []byte(`{"items":`+items+`,"next_cursor":`+nextCursor+`}`), err)
}

func (a *api) one(w http.ResponseWriter, r *http.Request, status int, userID, statement string, arguments ...interface{}) {
	var body []byte
	err := a.run(r.Context(), userID, query{statement, arguments, []interface{}{&body}})
	respond(w, status, body, err)
}

func decode(w http.ResponseWriter, r *http.Request, body interface{}) bool {
	err := json.NewDecoder(r.Body).Decode(body)
	if err != nil {
		write(w, http.StatusUnprocessableEntity, []byte(`{"message":"Not what is expected"}`))
	}
	return err == nil
}

func respond(w http.ResponseWriter, status int, body []byte, err error) {
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		write(w, http.StatusNotFound, []byte(`{"message":"Task not found"}`))
	case err != nil:
		log.Print(err)
		write(w, http.StatusInternalServerError, []byte(`{"message":"Internal server error"}`))
	default:
		write(w, status, body)
	}
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

func main() {
	config, err := pgxpool.ParseConfig("") // libpq's variables: PGHOST, PGUSER and so on
	if err != nil {
		log.Fatal(err)
	}
	config.MaxConns = poolSize
	pool, err := pgxpool.ConnectConfig(context.Background(), config)
	if err != nil {
		log.Fatal(err)
	}
	server := &api{pool, []byte(os.Getenv("JWT_SECRET"))}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), server))
}
