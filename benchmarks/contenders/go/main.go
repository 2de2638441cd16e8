// The API on net/http and pgx v4, with Debian's packages: a pool, and one batch per request, so that begin, the caller,
// the statement and commit are one round trip (https://pkg.go.dev/github.com/jackc/pgx/v4#Batch).
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
	"time"

	"github.com/golang-jwt/jwt"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const (
	poolSize = 10
	columns  = `id::text, user_id, text, completed, "order", created_at, updated_at, completed_at`
	list     = `select ` + columns + ` from app.tasks order by id desc limit $1`
	read     = `select ` + columns + ` from app.tasks where id = $1`
	create   = `insert into app.tasks (text, completed, "order") values ($1, $2, $3) returning ` + columns
	change   = `
		update app.tasks
		set text = coalesce($2, text), completed = coalesce($3, completed), "order" = coalesce($4, "order")
		where id = $1
		returning ` + columns
)

type task struct {
	ID          string     `json:"id"`
	UserID      string     `json:"user_id"`
	Text        string     `json:"text"`
	Completed   bool       `json:"completed"`
	Order       int32      `json:"order"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	CompletedAt *time.Time `json:"completed_at"`
}

type page struct {
	Items      []task  `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

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

// tasks returns the rows of a statement, in a transaction of the user.
func (a *api) tasks(ctx context.Context, userID, statement string, arguments ...interface{}) ([]task, error) {
	batch := &pgx.Batch{}
	batch.Queue("begin")
	batch.Queue("select set_config('app.user_id', $1, true)", userID)
	batch.Queue(statement, arguments...)
	batch.Queue("commit")
	results := a.pool.SendBatch(ctx, batch)
	found, err := readAll(results)
	if closed := results.Close(); err == nil { // reads the commit's result, and releases the connection
		err = closed
	}
	return found, err
}

// readAll skips what begin and set_config return, and returns the rows of the statement.
func readAll(results pgx.BatchResults) ([]task, error) {
	if _, err := results.Exec(); err != nil {
		return nil, err
	}
	if _, err := results.Exec(); err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []task{}
	for rows.Next() {
		var t task
		err := rows.Scan(&t.ID, &t.UserID, &t.Text, &t.Completed, &t.Order, &t.CreatedAt, &t.UpdatedAt, &t.CompletedAt)
		if err != nil {
			return nil, err
		}
		found = append(found, t)
	}
	return found, rows.Err()
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
		respond(w, http.StatusUnauthorized, map[string]string{"message": "Could not validate credentials"})
		return
	}
	switch id := strings.TrimPrefix(r.URL.Path, "/tasks/"); {
	case r.URL.Path == "/tasks" && r.Method == http.MethodGet:
		a.list(w, r, userID)
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
		respond(w, http.StatusNotFound, map[string]string{"message": "Not found"})
	}
}

func (a *api) list(w http.ResponseWriter, r *http.Request, userID string) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 || limit > 200 {
		limit = 50
	}
	found, err := a.tasks(r.Context(), userID, list, limit)
	if err != nil {
		fail(w, err)
		return
	}
	body := page{Items: found}
	if len(found) == limit {
		body.NextCursor = &found[limit-1].ID
	}
	respond(w, http.StatusOK, body)
}

func (a *api) one(w http.ResponseWriter, r *http.Request, status int, userID, statement string, arguments ...interface{}) {
	found, err := a.tasks(r.Context(), userID, statement, arguments...)
	switch {
	case err != nil:
		fail(w, err)
	case len(found) == 0:
		respond(w, http.StatusNotFound, map[string]string{"message": "Task not found"})
	default:
		respond(w, status, found[0])
	}
}

func decode(w http.ResponseWriter, r *http.Request, body interface{}) bool {
	err := json.NewDecoder(r.Body).Decode(body)
	if err != nil {
		respond(w, http.StatusUnprocessableEntity, map[string]string{"message": err.Error()})
	}
	return err == nil
}

func respond(w http.ResponseWriter, status int, body interface{}) {
	encoded, err := json.Marshal(body)
	if err != nil {
		log.Print(err)
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(encoded)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	respond(w, http.StatusInternalServerError, map[string]string{"message": "Internal server error"})
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
